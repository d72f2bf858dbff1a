import SandboxValues
import Testing

@testable import Stress

@Suite struct StressTableTests {
    @Test func trialsOfAList() throws {
        #expect(try Trial.parse("5") == [.workerKilled, .workerTerminated, .workerStopped])
        #expect(try Trial.parse("10,1b,2") == [.interrupt, .killMain, .cycles])
        #expect(try Trial.parse("1").count == 3)
        for list in ["", "4", "2,", "a", "1d", "-1"] {
            #expect(throws: LimitSyntaxError.self) { try Trial.parse(list) }
        }
    }

    @Test func readiness() throws {
        #expect(try StressPlan.Readiness(parsing: "8000") == .port(8000))
        #expect(try StressPlan.Readiness(parsing: "ready at 8000") == .line("ready at 8000"))
        for text in ["", "0", "65536"] {
            #expect(throws: LimitSyntaxError.self) { try StressPlan.Readiness(parsing: text) }
        }
    }

    @Test func listeningPorts() {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0
               1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4
            """
        #expect(ListeningPort.parse(table).map(\.description) == ["127.0.0.1:8080"])
        let long = """
              sl  local_address                         remote_address                        st
               0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 9 1 0 0
            """
        #expect(ListeningPort.parse(long).map(\.description) == ["[::1]:80"])
    }

    @Test func slopes() throws {
        #expect(Slope([1, 2, 3]) == nil)
        #expect(try #require(Slope([5, 5, 5, 5, 5])).isGrowth == false)
        #expect(try #require(Slope([1, 2, 3, 4, 5])).isGrowth)
        let growing = try #require(Slope([100, 131, 148, 172, 205, 219]))
        #expect(growing.isGrowth && abs(growing.estimate - 24) < 1)
        #expect(try #require(Slope([100, 140, 90, 130, 95, 135])).isGrowth == false)
        #expect(try #require(Slope([6, 5, 4, 3, 2])).isGrowth == false)
    }

    private static func result(bare: Finding?, cgrun: Finding?) -> StressResult {
        let machine = StressResult.Machine(kernel: "6.12", cgroups: "unified", processors: 2, cgrun: "1")
        var result = StressResult(command: ["./pool", "a b"], machine: machine)
        var scenario = StressResult.Scenario(.killMain)
        (scenario.bare, scenario.cgrun) = (bare, cgrun)
        result.scenarios = [scenario]
        return result
    }

    private static let left = LeftProcess(
        pid: 7, name: "sleep", command: "sleep 60", parentPID: 1, parentName: "init", isOrphan: true,
        ports: ["127.0.0.1:80"],
        files: ["/tmp/a|b"])

    @Test func verdicts() {
        let (good, bad) = (Finding.passed("fine"), Finding.failed(left: [Self.left, Self.left]))
        #expect(bad.detail == "left 2 processes (2 sleep)")
        #expect(Self.result(bare: bad, cgrun: good).passed)
        #expect(Self.result(bare: good, cgrun: bad).passed == false)
        #expect(Self.result(bare: bad, cgrun: nil).passed == false)
        #expect(
            Self.result(bare: bad, cgrun: good).verdict
                == "PASS: under cgrun, 1 of 1 scenarios passed; bare, 0 of 1 scenarios passed")
        let limited = Self.result(bare: .notTested("x"), cgrun: Finding(.knownLimit, "later"))
        #expect(limited.verdict == "PASS: under cgrun, 1 of 1 scenarios passed; bare, 0 of 0 scenarios passed")
    }

    @Test func detailsAreBounded() {
        let traces = (1...200).map { "temporary file \($0)" }
        let finding = Finding.failed(left: [], traces: traces)
        #expect(finding.detail == "left temporary file 1, temporary file 2, temporary file 3, … and 197 more")
        #expect(finding.traces.count == 100)
    }

    @Test func whatWasNotTriedIsNoSuccess() {
        var result = Self.result(bare: .passed("fine"), cgrun: .passed("fine"))
        result.failure = "no cgroup"
        #expect(result.passed == false)
        #expect(result.verdict.hasSuffix("bare, 1 of 1 scenarios passed; the rest was not tried"))
    }

    @Test func markdown() {
        var bad = Finding.failed(left: [Self.left])
        bad.remedy = "cgrun -- ./pool"
        #expect(
            Self.result(bare: bad, cgrun: .passed("no process left")).markdown == """
                **PASS: under cgrun, 1 of 1 scenarios passed; bare, 0 of 1 scenarios passed**

                `./pool 'a b'`

                | | scenario | bare | under cgrun |
                |---|---|---|---|
                | 2 | SIGKILL of the main process | **FAIL**: left 1 process (1 sleep) | pass: no process left |

                | failed | what was left | what helps |
                |---|---|---|
                | 2, bare | 7 sleep, orphan, listens at 127.0.0.1:80, writes /tmp/a\\|b: sleep 60 | cgrun -- ./pool |

                cgrun 1, Linux 6.12, cgroups: unified, 2 processors, 0s

                """)
    }
}
