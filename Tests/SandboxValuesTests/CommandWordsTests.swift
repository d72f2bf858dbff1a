import SandboxValues
import Testing

@Suite struct CommandWordsTests {
    @Test(arguments: [
        ("a b", ["a", "b"]), ("  a\t'b c' ", ["a", "b c"]), ("a\"b\\\"c\"d", ["ab\"cd"]), ("''", [""]), ("", []),
        ("a\\ b", ["a b"]),
    ])
    func splits(_ text: String, _ words: [String]) throws { #expect(try CommandWords.split(text) == words) }

    @Test(arguments: ["a 'b", "a \"b", "a\\"]) func mistakes(_ text: String) {
        #expect(throws: LimitSyntaxError.self) { try CommandWords.split(text) }
    }

    @Test(arguments: [["a"], ["a b", "", "'", "\"\\", "$x `y`", "é\n"]]) func joinIsTheOpposite(_ words: [String])
        throws
    {
        #expect(try CommandWords.split(CommandWords.join(words)) == words)
    }
}
