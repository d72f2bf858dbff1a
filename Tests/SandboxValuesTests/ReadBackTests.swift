import Testing

@testable import SandboxValues

@Suite struct ReadBackTests {
    private let page: UInt64 = 4096

    private func isApplied(_ value: String, readBack: String) -> Bool {
        LimitKind.ReadBack.value.has(value, in: readBack, pageSize: page)
    }

    @Test func theSameIsApplied() {
        #expect(isApplied("max", readBack: "max"))
        #expect(isApplied("0-3", readBack: "0-3"))
        #expect(isApplied("150000 100000", readBack: "150000 100000"))
        #expect(isApplied("0", readBack: "0"))
    }

    @Test func theKernelRoundsMemoryDownToPages() {
        #expect(isApplied(String(10 * page + 1), readBack: String(10 * page)))
        #expect(isApplied(String(11 * page - 1), readBack: String(10 * page)))
        #expect(isApplied(String(page - 1), readBack: "0"))
    }

    @Test func anythingElseIsNot() {
        #expect(!isApplied(String(10 * page), readBack: String(9 * page)))
        #expect(!isApplied(String(10 * page), readBack: String(11 * page)))
        #expect(!isApplied(String(10 * page + 1), readBack: String(10 * page + 2)))
        #expect(!isApplied("32", readBack: "max"))
        #expect(!isApplied("max", readBack: "32"))
        #expect(!isApplied("0-3", readBack: "0-1"))
        #expect(!isApplied("100000 100000", readBack: "max 100000"))
        #expect(!isApplied("1", readBack: ""))
    }

    /// The kernel shows a line for each device that has limits, with the other limits that it has.
    @Test func linesOfDevicesAreLookedThrough() {
        func has(_ value: String, _ file: String) -> Bool {
            LimitKind.ReadBack.lineOfDevice.has(value, in: file, pageSize: page)
        }
        let file = "8:0 rbps=1048576 wbps=max riops=max wiops=100\n8:16 rbps=5 wbps=max riops=max wiops=max"
        #expect(has("8:0 rbps=1048576", file) && has("8:0 rbps=1048576 wiops=100", file) && has("8:16 rbps=5", file))
        #expect(has("8:0 wbps=max", file) && has("8:32 rbps=max", file) && has("8:32 rbps=max wiops=max", ""))
        #expect(!has("8:0 rbps=5", file) && !has("8:32 rbps=5", file) && !has("8:1 rbps=5", file))
        #expect(!has("8:0 rbps=1048576 wiops=1", file) && !has("8:0 rbps=max", file) && !has("8:0 rbps=1", ""))
        // Cgroup v1 has a file for each rate, where 0 is no limit.
        #expect(has("8:0 1048576", "8:0 1048576\n8:16 5") && has("8:32 0", "8:0 1048576"))
        #expect(!has("8:0 1", "8:0 1048576") && !has("8:32 1", "8:0 1"))
    }
}
