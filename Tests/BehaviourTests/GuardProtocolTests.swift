import CLinux
import Glibc
import LinuxSystem
import TestSupport
import Testing

extension Behaviour {
    /// Messages between launcher, guard and finisher, as they cross the socket.
    @Suite(.onRealMachines) struct GuardProtocol {
        /// The place of `has_parents` in a message: behind number, deadline, set of descriptors, kind, loss and groups.
        private static let flag = 21

        /// The receiver counts descriptors by this flag: any other number than 0 or 1 would give it more of them than
        /// it has fields for.
        @Test(arguments: [UInt8(1), 2, 3]) func aFlagIsZeroOrOne(_ flag: UInt8) throws {
            let null = try Descriptor(opening: "/dev/null", O_RDWR)
            var bytes = try written(null.rawValue)
            try #require(bytes[Self.flag] == 1)
            bytes[Self.flag] = flag
            let before = openDescriptorCount
            let sockets = try SocketPair()
            let descriptors = [CInt](repeating: null.rawValue, count: 2 + Int(flag))
            try #require(
                clinux_send(sockets.near.rawValue, bytes, bytes.count, descriptors, UInt32(descriptors.count)) > 0)
            var message = guard_message(GUARD_READY)
            #expect(guard_receive(sockets.far.rawValue, &message) == (flag == 1 ? 1 : -EBADMSG))
            if flag == 1 {
                for descriptor in [message.parents.0, message.executable, message.record] { close(descriptor) }
            }
            #expect(openDescriptorCount == before + 2)
        }

        /// The bytes of a whole message with three descriptors, of which one is a parent directory.
        private func written(_ descriptor: CInt) throws -> [UInt8] {
            let sockets = try SocketPair()
            var message = guard_message(GUARD_JOB)
            (message.number, message.groups, message.has_parents) = (1, 1, true)
            (message.parents.0, message.executable, message.record) = (descriptor, descriptor, descriptor)
            message.name.0 = CChar(UInt8(ascii: "j"))
            try #require(guard_send(sockets.near.rawValue, &message) > 0)
            var bytes = [UInt8](repeating: 0, count: 4096)
            let size = read(sockets.far.rawValue, &bytes, bytes.count)
            return Array(bytes.prefix(size))
        }
    }
}
