// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "snippets",
    dependencies: [
        .package(name: "cgrun", path: "../.."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.5.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
    ],
    targets: [
        .executableTarget(
            name: "snippets",
            dependencies: [
                .product(name: "CgroupSandbox", package: "cgrun"),
                // Builds the guard, too, and leaves it beside this program, where it is looked for.
                .product(name: "cgrun-guard", package: "cgrun"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
