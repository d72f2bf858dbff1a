import Testing

@testable import SandboxValues

/// `--timeout`, `--cpu-time`, `--kill-after`.
@Suite struct DurationTests {
    static let accepted: [(String, Duration)] = [
        ("500ms", Duration.milliseconds(500)), ("1ms", .milliseconds(1)), ("90s", .seconds(90)), ("5m", .seconds(300)),
        ("1h", .seconds(3600)), ("1.5h", .seconds(5400)), ("2d", .seconds(172_800)), ("0.5s", .milliseconds(500)),
        ("0.001ms", .microseconds(1)), ("0.000001ms", .nanoseconds(1)), ("1.1s", .milliseconds(1100)),
        ("007s", .seconds(7)), ("106751d", .seconds(106_751 * 86_400)),
    ]

    @Test(arguments: accepted)
    func reads(_ text: String, _ expected: Duration) throws {
        #expect(try Duration(parsingLimit: text) == expected)
        #expect(try Duration(parsingLimit: text, zeroAllowed: true) == expected)
    }

    static let refused = [
        // The unit could only be guessed.
        "5", "90", "1.5",
        "s", "ms", "5S", "5MS", "5M", "5H", "5D", "5sec", "5min", "5 s", "5s ", " 5s", "1h30m", "1:30", "5us", "5ns",
        "5w", "5y", "-5s", "+5s", "1e3s", ".5s", "5.s", "1.2.3s", "0.0000000001s", "99999999999999999999s", "５s", "5ｓ",
        "max", "infinity",
    ]

    @Test(arguments: notNumbers + refused)
    func refuses(_ text: String) {
        #expect(throws: LimitSyntaxError(accepted: Duration.accepted)) { try Duration(parsingLimit: text) }
        #expect(throws: LimitSyntaxError.self) { try Duration(parsingLimit: text, zeroAllowed: true) }
    }

    @Test(arguments: ["106752d", "1000000d", "9223372037s"]) func tellsTheRange(_ text: String) {
        #expect(throws: LimitSyntaxError(accepted: Duration.acceptedRange)) { try Duration(parsingLimit: text) }
    }

    @Test(arguments: ["0s", "0ms", "0m", "0h", "0d", "0.0s"]) func zeroMakesSenseForAGraceOnly(_ text: String) throws {
        #expect(throws: LimitSyntaxError(accepted: "more than 0: " + Duration.accepted)) {
            try Duration(parsingLimit: text)
        }
        #expect(try Duration(parsingLimit: text, zeroAllowed: true) == .zero)
    }

    /// Zero is the same in every unit.
    @Test func zeroNeedsNoUnit() throws {
        #expect(try Duration(parsingLimit: "0", zeroAllowed: true) == .zero)
        #expect(throws: LimitSyntaxError.self) { try Duration(parsingLimit: "0") }
        #expect(throws: LimitSyntaxError.self) { try Duration(parsingLimit: "00", zeroAllowed: true) }
    }

    /// Less than a nanosecond is not the zero that somebody meant.
    @Test func somethingIsNeverRoundedToNothing() {
        #expect(throws: LimitSyntaxError.self) { try Duration(parsingLimit: "0.000000001ms", zeroAllowed: true) }
    }

    @Test func tellsSeconds() {
        #expect(Duration.milliseconds(1500).seconds == 1.5)
        #expect(Duration.zero.seconds == 0)
    }
}
