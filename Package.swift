// swift-tools-version: 6.2

import PackageDescription

// Warnings are errors in CI only: a package that depends on this one must still build when a later compiler warns of
// more.
let strict: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
    ] + (Context.environment["CGRUN_STRICT"] == nil ? [] : [.treatAllWarnings(as: .error)])

// A target in Sources depends only on targets that are above it in this list.
let package = Package(
    name: "cgrun",
    products: [
        .library(
            name: "CgroupSandbox", targets: ["CgroupSandbox", "SystemdBus", "Cgroups", "LinuxSystem", "SandboxValues"]),
        // The model of services: what `cgrun.toml`, the keepers and the unit generator share. To run them is cgrun's.
        .library(name: "Services", targets: ["Services"]),
        .library(name: "SystemdUnits", targets: ["SystemdUnits", "SandboxValues"]),
        .executable(name: "cgrun", targets: ["cgrun"]),
        .executable(name: "cgrun-guard", targets: ["cgrun-guard"]),
        .executable(name: "cgrun-toml", targets: ["cgrun-toml"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.5.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        // Limits and their kinds, sizes, durations, signals, byte strings. Pure: nothing here asks the machine.
        .target(name: "SandboxValues", swiftSettings: strict),
        // System calls that need C: clone3 to exec, variadic calls, the guard's protocol.
        .target(name: "CLinux"),
        // Descriptors, processes, signals, clocks, errors. Knows nothing of cgroups.
        .target(
            name: "LinuxSystem",
            dependencies: ["SandboxValues", "CLinux", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: strict),
        // Where jobs' cgroups are and how they are made. The library and cgrun reach the cgroup filesystems only
        // through here.
        .target(
            name: "Cgroups",
            dependencies: [
                "SandboxValues", "CLinux", "LinuxSystem", .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        // libsystemd's bus functions, found at run time.
        .target(name: "CSystemd"),
        // Service managers over D-Bus: transient units, and nothing else.
        .target(
            name: "SystemdBus",
            dependencies: [
                "SandboxValues", "CSystemd", "LinuxSystem", .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        // Jobs: launch, guard, supervision, diagnosis, report.
        .target(
            name: "CgroupSandbox",
            dependencies: [
                "SandboxValues", "CLinux", "LinuxSystem", "Cgroups", "SystemdBus",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        // Commands that are kept running under a name: the keeper of one, and those who ask it.
        .target(
            name: "Services",
            dependencies: [
                "SandboxValues", "CLinux", "LinuxSystem", "Cgroups", "CgroupSandbox",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        // What a command leaves behind when things go wrong: trials, and what they find.
        .target(
            name: "Stress",
            dependencies: [
                "SandboxValues", "CLinux", "LinuxSystem", "Cgroups", "CgroupSandbox",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        // systemd units as values, and what they are made from. Text in, text out.
        .target(name: "SystemdUnits", dependencies: ["SandboxValues"], swiftSettings: strict),
        // The command line: grammar, messages, JSON.
        .executableTarget(
            name: "cgrun",
            dependencies: [
                "SandboxValues", "LinuxSystem", "Cgroups", "SystemdBus", "CgroupSandbox", "Services", "Stress",
                "SystemdUnits",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        // Reads TOML for cgrun: a program of its own, since linked into cgrun the TOML library would slow every start down.
        .executableTarget(
            name: "cgrun-toml",
            dependencies: [
                "LinuxSystem", "Services", .product(name: "TOMLKit", package: "TOMLKit"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        // The guard is a program of its own, so that it outlives the launcher, and Embedded Swift, so that it stays
        // tiny.
        .executableTarget(
            name: "cgrun-guard",
            dependencies: ["CLinux"],
            swiftSettings: [.enableExperimentalFeature("Embedded")]),

        // Unit tests, down to SystemdUnitsTests: they start no process and make no cgroup.
        .testTarget(name: "SandboxValuesTests", dependencies: ["SandboxValues"], swiftSettings: strict),
        .testTarget(
            name: "CgroupsTests",
            dependencies: [
                "SandboxValues", "Cgroups", "LinuxSystem", .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "CgroupSandboxTests",
            dependencies: [
                "SandboxValues", "CgroupSandbox", "SystemdBus", "Cgroups", "LinuxSystem",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "CommandLineTests",
            dependencies: [
                "cgrun", "cgrun-toml", "SandboxValues", "CgroupSandbox", "Services", "SystemdBus", "Cgroups",
                "LinuxSystem", "SystemdUnits",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ServicesTests", dependencies: ["Services", "CgroupSandbox", "LinuxSystem", "SandboxValues"],
            swiftSettings: strict),
        .testTarget(name: "StressTests", dependencies: ["Stress", "SandboxValues"], swiftSettings: strict),
        .testTarget(name: "SystemdBusTests", dependencies: ["SystemdBus"], swiftSettings: strict),
        .testTarget(
            name: "SystemdUnitsTests", dependencies: ["SystemdUnits", "SandboxValues"],
            exclude: ["Fixtures"], swiftSettings: strict),
        // The built programs on a real kernel: on the host, in the virtual machine, under systemd.
        .testTarget(
            name: "BehaviourTests",
            dependencies: [
                "TestSupport", "SandboxValues", "CgroupSandbox", "Services", "Stress", "Cgroups", "LinuxSystem",
                "CLinux",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "TestSupport",
            dependencies: ["SandboxValues", "CgroupSandbox", "Services", "SystemdBus", "Cgroups", "LinuxSystem"],
            path: "Tests/TestSupport"),
        // What tests run inside jobs; C, since Swift cannot fork.
        .executableTarget(name: "cgrun-probe", path: "Tests/Fixtures/probe"),
        // A program that runs jobs with the library: tests kill it, count what it holds, and time it.
        .executableTarget(
            name: "cgrun-host",
            dependencies: [
                "SandboxValues", "CgroupSandbox", "SystemdBus", "Cgroups", "LinuxSystem",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/Fixtures/host", swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .gnu17
)
