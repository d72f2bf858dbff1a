/// What Python's shlex does, in the two ways that supervisor uses it.
enum ShellLexer {
    /// `shlex.split`: how supervisor makes an argument vector of a command.
    static func split(_ text: String) throws(ExpansionFailure) -> [String] {
        enum State {
            case between
            case word
            case quoted(Unicode.Scalar)
            case escaped(in: Unicode.Scalar?)
        }
        var words: [String] = []
        var word = String.UnicodeScalarView()
        var state = State.between
        for scalar in text.unicodeScalars {
            switch state {
            case .between, .word:
                switch scalar {
                case " ", "\t", "\r", "\n":
                    if case .word = state { words.append(String(word)) }
                    word = String.UnicodeScalarView()
                    state = .between
                case "'", "\"": state = .quoted(scalar)
                case "\\": state = .escaped(in: nil)
                default:
                    word.append(scalar)
                    state = .word
                }
            case .quoted(let quote):
                if scalar == quote {
                    state = .word
                } else if scalar == "\\", quote == "\"" {
                    state = .escaped(in: quote)
                } else {
                    word.append(scalar)
                }
            case .escaped(let quote):
                // Between quotes a backslash takes effect on itself and on the quote alone.
                if let quote, scalar != "\\", scalar != quote { word.append("\\") }
                word.append(scalar)
                state = quote.map { .quoted($0) } ?? .word
            }
        }
        switch state {
        case .quoted: throw ExpansionFailure(message: "expected a closing quote")
        case .escaped: throw ExpansionFailure(message: "expected a character after the backslash at the end")
        case .word: words.append(String(word))
        case .between: break
        }
        return words
    }

    /// `dict_of_key_value_pairs`: how supervisor reads `environment=`. The lexer is the one that knows no
    /// escapes; what separates two pairs may be any one token.
    static func keyValuePairs(_ text: String) throws(ExpansionFailure) -> [(name: String, value: String)] {
        let tokens = try plainTokens(text)
        var pairs: [(name: String, value: String)] = []
        var index = 0
        while index < tokens.count {
            guard index + 2 < tokens.count, tokens[index + 1] == "=" else {
                throw ExpansionFailure(
                    message:
                        "expected NAME=value pairs with commas in between, and quotes around what is more than a word")
            }
            var value = tokens[index + 2].unicodeScalars[...]
            while let first = value.first, first == "'" || first == "\"" { value.removeFirst() }
            while let last = value.last, last == "'" || last == "\"" { value.removeLast() }
            // A name that comes again replaces the value, but keeps its place.
            let pair = (name: tokens[index], value: String(value))
            if let known = pairs.firstIndex(where: { $0.name == pair.name }) {
                pairs[known] = pair
            } else {
                pairs.append(pair)
            }
            index += 4
        }
        return pairs
    }

    private static func plainTokens(_ text: String) throws(ExpansionFailure) -> [String] {
        var tokens: [String] = []
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case " ", "\t", "\r", "\n": continue
            case "#": skipLine(&rest)
            case "'", "\"":
                guard let end = rest.firstIndex(of: scalar) else {
                    throw ExpansionFailure(message: "expected a closing quote")
                }
                let quote = String(Character(scalar))
                tokens.append(quote + String(rest[..<end]) + quote)
                rest = rest[rest.index(after: end)...]
            case _ where isWordCharacter(scalar): tokens.append(word(scalar, &rest))
            default: tokens.append(String(Character(scalar)))
            }
        }
        return tokens
    }

    /// A comment inside of a word does not end it: what follows on the next line belongs to it.
    private static func word(_ first: Unicode.Scalar, _ rest: inout Substring.UnicodeScalarView) -> String {
        var word = String.UnicodeScalarView([first])
        while let scalar = rest.first {
            if scalar == "#" {
                skipLine(&rest)
            } else if isWordCharacter(scalar) || scalar == "'" || scalar == "\"" {
                word.append(scalar)
                rest.removeFirst()
            } else {
                break
            }
        }
        return String(word)
    }

    private static func skipLine(_ rest: inout Substring.UnicodeScalarView) {
        rest = rest.firstIndex(of: "\n").map { rest[rest.index(after: $0)...] } ?? rest[rest.endIndex...]
    }

    private static func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "_", "/", ".", "+", "-", "(", ")", ":": true
        default: false
        }
    }
}
