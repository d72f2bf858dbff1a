import Testing

/// Everything that runs the built programs, one test at a time: leaks are counted, and moments matter.
@Suite(.serialized) enum Behaviour {}
