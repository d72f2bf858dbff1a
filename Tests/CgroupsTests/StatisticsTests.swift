import Testing

@testable import Cgroups

@Suite struct EventCountsTests {
    @Test func readsMemoryEvents() {
        let counts = EventCounts(
            parsing: "low 0\nhigh 12\nmax 345\noom 2\noom_kill 1\noom_group_kill 0\nsock_throttled 7")
        #expect(
            counts.entries.map(\.key) == [
                "low", "high", "max", "oom", "oom_kill", "oom_group_kill", "sock_throttled",
            ])
        #expect(counts["max"] == 345)
        #expect(counts["oom_kill"] == 1)
        #expect(counts["low"] == 0)
        #expect(counts["missing"] == nil)
        // A key is a whole word.
        #expect(counts["oo"] == nil)
        #expect(EventCounts(parsing: "oom_kill 3")["oom"] == nil)
    }

    /// JSON has no order to keep.
    @Test func orderDoesNotMatter() {
        let counts = EventCounts(parsing: "oom 2\noom_kill 1")
        #expect(counts == ["oom_kill": 1, "oom": 2])
        #expect(counts != ["oom_kill": 2, "oom": 2])
        #expect(counts != ["oom": 2])
        #expect(counts != ["oom": 2, "oom_group_kill": 1])
    }

    @Test func readsCPUStatistics() {
        let counts = EventCounts(
            parsing: "usage_usec 18446744073709551615\nuser_usec 1\nsystem_usec 2\nnr_periods 0\nthrottled_usec 5")
        #expect(counts["usage_usec"] == UInt64.max)
        #expect(counts["throttled_usec"] == 5)
    }

    /// v1: the first lines of `memory.oom_control` are not counts of kills.
    @Test func readsV1Controls() {
        let counts = EventCounts(parsing: "oom_kill_disable 0\nunder_oom 0\noom_kill 4")
        #expect(counts["oom_kill"] == 4)
    }

    @Test func skipsWhatItCannotRead() {
        #expect(EventCounts(parsing: "").entries.isEmpty)
        #expect(
            EventCounts(parsing: "word\nkey -1\nkey x\n 5\nhuge 18446744073709551616\nmax max").entries == [
                EventCounts.Entry(key: "", count: 5)
            ])
        #expect(EventCounts(parsing: "a 1\n\n\nb 2\n")["b"] == 2)
    }

    @Test func nothingIsNotZero() {
        #expect(JobStatistics().oomKills == 0)
        #expect(JobStatistics().memoryEvents == nil)
        var statistics = JobStatistics()
        statistics.memoryEvents = EventCounts([("oom_kill", 3)])
        #expect(statistics.oomKills == 3)
    }
}

@Suite struct DeviceIOTests {
    @Test func readsDevices() {
        let devices = JobStatistics.deviceIO(
            """
            8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0
            253:0 rbytes=0 wbytes=4096 rios=0 wios=1 dbytes=0 dios=0
            """)
        #expect(devices.map(\.device) == ["8:16", "253:0"])
        #expect(devices.map(\.readBytes) == [1_459_200, 0])
        #expect(devices.map(\.writeBytes) == [314_773_504, 4096])
    }

    /// A device that was never used has a line with nothing but its number.
    @Test func readsAnIdleDevice() {
        #expect(JobStatistics.deviceIO("8:0 \n").map(\.readBytes) == [0])
        #expect(JobStatistics.deviceIO("8:0").count == 1)
    }

    @Test func noDevicesAreNone() {
        #expect(JobStatistics.deviceIO("").isEmpty)
        #expect(JobStatistics.deviceIO("total rbytes=1\n").isEmpty)
    }
}

@Suite struct PressureTests {
    @Test func readsTotals() {
        let pressure = JobStatistics.pressure(
            """
            some avg10=0.12 avg60=1.00 avg300=22.22 total=123456
            full avg10=0.00 avg60=0.00 avg300=0.00 total=789
            """)
        #expect(pressure == JobStatistics.Pressure(someMicroseconds: 123_456, fullMicroseconds: 789))
    }

    /// The CPU had no full pressure before Linux 5.13.
    @Test func fullMayBeMissing() {
        let pressure = JobStatistics.pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=5")
        #expect(pressure == JobStatistics.Pressure(someMicroseconds: 5, fullMicroseconds: nil))
    }

    @Test(arguments: ["", "some", "some avg10=0.00", "full total=3", "some avg10=0.00 total=x"])
    func nothingIsNil(_ text: String) {
        #expect(JobStatistics.pressure(text) == nil)
    }
}
