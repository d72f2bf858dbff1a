import Testing

@testable import SandboxValues

/// What no number of any kind may look like.
let notNumbers = [
    "", " ", "-1", "+5", "2 ", " 2", "1e3", "0x10", "1_000", "1,000", "٤", "２", "½", "²", "nan", "inf", "NaN",
    "Max", "MAX", "2\n", "\u{0661}", "2\u{0301}", "99999999999999999999", "--", "-", ".", "1K", "1M", "50%",
]

/// `--pids`.
@Suite struct ProcessCountTests {
    @Test(arguments: [("1", 1), ("32", 32), ("0032", 32), ("4194304", 4_194_304)])
    func reads(_ text: String, _ expected: Int) throws {
        #expect(try Ceiling<Int>(parsingCount: text) == .value(expected))
        #expect(try Ceiling<Int>(parsingCount: text).kernelText == String(expected))
    }

    @Test func readsMax() throws {
        #expect(try Ceiling<Int>(parsingCount: "max") == .max)
        #expect(try Ceiling<Int>(parsingCount: "max").kernelText == "max")
    }

    @Test(arguments: notNumbers + ["0", "00", "4194305", "1.5", "9223372036854775808"])
    func refuses(_ text: String) {
        #expect(throws: LimitSyntaxError(accepted: Ceiling<Int>.acceptedCount)) {
            try Ceiling<Int>(parsingCount: text)
        }
    }
}

/// `--cpu`.
@Suite struct CPUBandwidthTests {
    static let accepted: [(String, UInt64)] = [
        ("1", 100_000), ("1.5", 150_000), ("0.01", 1_000), ("0.5", 50_000), ("2", 200_000), ("10000", 1_000_000_000),
        ("0.123456", 12_345), ("3.000000001", 300_000), ("01", 100_000),
    ]

    @Test(arguments: accepted)
    func reads(_ text: String, _ quota: UInt64) throws {
        #expect(try CPUBandwidth(parsing: text).quotaMicroseconds == quota)
    }

    @Test func tellsCores() throws {
        #expect(try CPUBandwidth(parsing: "1.5").cores == 1.5)
    }

    @Test func writesQuotaAndPeriodForTheKernel() throws {
        #expect(try Ceiling<CPUBandwidth>(parsingCores: "1.5").kernelText == "150000 100000")
        #expect(try Ceiling<CPUBandwidth>(parsingCores: "max").kernelText == "max 100000")
    }

    @Test(
        arguments: notNumbers.filter { $0 != "1,000" } + [
            "0", "0.0", "0.009", "10000.1", "10001", ".5", "5.", "1.2.3", "1.0000000001", "1/2", "18446744073709551615",
        ])
    func refuses(_ text: String) {
        #expect(throws: LimitSyntaxError(accepted: CPUBandwidth.accepted)) {
            try Ceiling<CPUBandwidth>(parsingCores: text)
        }
    }
}

/// `--cpu-weight`.
@Suite struct CPUWeightTests {
    @Test(arguments: [("1", 1), ("100", 100), ("10000", 10_000)])
    func reads(_ text: String, _ expected: Int) throws {
        #expect(try CPUWeight(parsing: text).value == expected)
    }

    @Test(arguments: notNumbers + ["0", "10001", "1.5", "max", "idle"])
    func refuses(_ text: String) {
        #expect(throws: LimitSyntaxError.self) { try CPUWeight(parsing: text) }
    }

    @Test(arguments: [Int.min, -5, 0, 10_001, .max])
    func numbersOutOfRangeAreRefused(_ number: Int) {
        #expect(throws: LimitSyntaxError.self) { try CPUWeight(number) }
    }
}

/// `--cpuset`.
@Suite struct CPUSetTests {
    @Test(arguments: [
        ("0", "0"), ("0-3,8", "0-3,8"), ("8,0-3", "0-3,8"), ("0,1,2", "0-2"), ("0-0", "0"), ("3,3,3", "3"),
        ("0-2,1-4", "0-4"), ("0,2,4", "0,2,4"), ("8191", "8191"), ("00,01", "0-1"),
    ])
    func reads(_ text: String, _ kernelText: String) throws {
        #expect(try CPUSet(parsing: text).kernelText == kernelText)
    }

    @Test(
        arguments: notNumbers.filter { $0 != "1,000" } + [
            "max", "3-1", "0-", "-0", "0-1-2", ",", "0,", ",0", "0,,1", "0 1", "0, 1", "0-3:2", "8192", "0-8192", "a",
            "0-٣", "1.5", "^1", "all",
        ])
    func refuses(_ text: String) {
        #expect(throws: LimitSyntaxError(accepted: CPUSet.accepted)) { try CPUSet(parsing: text) }
    }

    @Test func readsBackWhatItWritesForTheKernel() throws {
        for _ in 0..<300 {
            let processors = Set((0..<Int.random(in: 1...40)).map { _ in Int.random(in: 0..<64) })
            let text = processors.map { String($0) }.joined(separator: ",")
            let set = try CPUSet(parsing: text)
            #expect(set.processors == processors)
            #expect(try CPUSet(parsing: set.kernelText) == set)
        }
    }
}
