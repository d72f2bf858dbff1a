import LinuxSystem
import Testing

@Suite struct EventLoopTests {
    /// The end of a time limit may be before the boot of the machine, or further away than the kernel counts.
    @Test(arguments: [Duration.seconds(Int64.min), .seconds(-1), .zero, .seconds(Int64.max)])
    func aTimeOutOfRangeHoldsNoOtherUp(_ distance: Duration) throws {
        let loop = try EventLoop()
        let called = Locked<[String]>([])
        loop.call(at: .now + distance) { called.withLock { $0.append("odd") } }
        loop.call(at: .now + .milliseconds(1)) { called.withLock { $0.append("next") } }
        var poller = Poller()
        poller.add(loop.descriptor)
        while !called.withLock({ $0.contains("next") }) {
            try #require(poller.wait(.seconds(10))[0], "the loop never wakes")
            loop.turn()
        }
        #expect(called.withLock { $0 } == (distance > .zero ? ["next"] : ["odd", "next"]))
    }
}
