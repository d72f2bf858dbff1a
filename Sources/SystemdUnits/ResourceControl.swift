internal import Cgroups

extension UnitFile.Section {
    /// Limits as systemd.resource-control(5) names them: the same values that a run would write to
    /// cgroup files.
    mutating func setLimits(_ limits: Limits) {
        set(.cpuWeight, limits.cpuWeight.map { String($0.value) })
        set(.cpuQuota, limits.cpuMax.map(ValueText.quota))
        set(.allowedCPUs, limits.cpuset?.kernelText.split(separator: ",").joined(separator: " "))
        set(.memoryHigh, limits.memoryHigh.map(ValueText.bytes))
        set(.memoryMax, limits.memoryMax.map(ValueText.bytes))
        set(.memorySwapMax, limits.effectiveSwapMax.map(ValueText.bytes))
        set(.tasksMax, limits.pidsMax.map(ValueText.count))
    }
}
