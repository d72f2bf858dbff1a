import Testing

@testable import Cgroups

/// `/proc/self/cgroup` as it is found in the wild.
@Suite struct LayoutTests {
    private func unified(_ text: String) -> Hierarchies? {
        layout(.unified, CgroupMount("/sys/fs/cgroup"), text)
    }

    private func hybrid(_ text: String) -> Hierarchies? {
        layout(.hybrid, CgroupMount("/sys/fs/cgroup/unified"), text)
    }

    private func layout(_ mode: Hierarchies.Mode, _ mount: CgroupMount, _ text: String) -> Hierarchies? {
        Hierarchies.Memberships(parsing: text).map { memberships in
            Hierarchies(mode, mount, memberships) { controller, _ in CgroupMount(controller.mount) }
        }
    }

    private func paths(_ layout: Hierarchies) -> [LegacyController: String?] {
        Dictionary(uniqueKeysWithValues: layout.legacyPaths.map { ($0.controller, $0.own.path) })
    }

    @Test func readsAPureV2Machine() throws {
        let layout = try #require(unified("0::/user.slice/user-1000.slice/session-2.scope\n"))
        #expect(layout.ownPath == "/user.slice/user-1000.slice/session-2.scope")
        #expect(layout.legacyPaths.isEmpty)
        #expect(layout.mode == .unified)
    }

    @Test func readsAHybridMachine() throws {
        let layout = try #require(
            hybrid(
                """
                12:pids:/user.slice/user-0.slice
                11:memory:/user.slice
                10:cpu,cpuacct:/
                9:cpuset:/batch
                8:net_cls,net_prio:/
                7:freezer:/
                1:name=systemd:/user.slice/user-0.slice/session-1.scope
                0::/user.slice/user-0.slice/session-1.scope

                """))
        #expect(layout.ownPath == "/user.slice/user-0.slice/session-1.scope")
        #expect(
            paths(layout) == [
                .pids: "/user.slice/user-0.slice", .memory: "/user.slice", .cpu: "/", .cpuset: "/batch",
            ])
    }

    /// The controllers that are mounted together come in any order.
    @Test func findsCPUBesideOthers() throws {
        let layout = try #require(hybrid("4:cpuacct,cpu:/a\n0::/\n"))
        #expect(paths(layout) == [.cpu: "/a"])
    }

    @Test func readsAContainerWithANamespaceOfItsOwn() throws {
        #expect(try #require(unified("0::/\n")).ownPath == "/")
    }

    @Test func readsAContainerWithoutOne() throws {
        let text = "0::/docker/3f4e5a6b7c8d9e0f\n"
        #expect(try #require(unified(text)).ownPath == "/docker/3f4e5a6b7c8d9e0f")
        let pod = "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-1:2.scope\n"
        #expect(try #require(unified(pod)).ownPath?.hasSuffix("cri-containerd-1:2.scope") == true)
    }

    /// Names may hold colons and blanks; only the first two colons of a line divide it.
    @Test func keepsOddNames() throws {
        #expect(try #require(unified("0::/a:b c/d::e\n")).ownPath == "/a:b c/d::e")
    }

    @Test(arguments: ["/../sibling", "/../../x", "/.."])
    func refusesAPathOutsideOfItsNamespace(_ path: String) throws {
        let layout = try #require(unified("0::\(path)\n"))
        #expect(layout.ownPath == nil && layout.ownJob == nil && layout.delegation == nil)
        let error = CgroupError(.outsideMount(path: path, mount: "/sys/fs/cgroup"))
        #expect(throws: error) { try layout.placeOfJobs() }
        #expect(throws: error) { try layout.absolute(path) }
        let legacy = try #require(hybrid("4:memory:\(path)\n0::/\n"))
        #expect(paths(legacy) == [.memory: nil])
    }

    static let withoutV2 = [
        "", "\n", "12:pids:/\n", "0:/\n", "garbage", "0::relative\n", "1:name=systemd:/\n", "0:memory:/\n",
    ]

    @Test(arguments: withoutV2)
    func refusesWithoutV2(_ text: String) {
        #expect(unified(text) == nil)
        #expect(hybrid(text) == nil)
    }

    @Test func ignoresControllersWithoutALimit() throws {
        let layout = try #require(hybrid("3:net_cls:/x\n2:devices:/y\n1:rdma:/z\n0::/\n"))
        #expect(layout.legacyPaths.isEmpty)
    }

    @Test func findsThisProcess() throws {
        // Where there is no cgroup2 at all, the error says so.
        do {
            let layout = try Hierarchies.current()
            #expect(layout.ownPath?.hasPrefix("/") == true)
            #expect(layout.mode == .hybrid || layout.legacyPaths.isEmpty)
        } catch {
            #expect(error == CgroupError(.noCgroup2))
        }
    }

    @Test(arguments: [
        ("/", "/sys/fs/cgroup"), ("", "/sys/fs/cgroup"), ("/a/b", "/sys/fs/cgroup/a/b"), ("a/b", "/sys/fs/cgroup/a/b"),
        ("/sys/fs/cgroup", "/sys/fs/cgroup"), ("/sys/fs/cgroup/a", "/sys/fs/cgroup/a"),
        ("/sys/fs/cgroupX", "/sys/fs/cgroup/sys/fs/cgroupX"),
    ])
    func takesAParentWithOrWithoutTheMountPoint(_ path: String, _ expected: String) throws {
        #expect(try #require(unified("0::/\n")).absolute(path) == expected)
    }
}
