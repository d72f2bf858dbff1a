// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "batch",
    dependencies: [
        .package(name: "cgrun", path: "../.."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    ],
    targets: [
        .executableTarget(
            name: "batch",
            dependencies: [
                .product(name: "CgroupSandbox", package: "cgrun"),
                // Builds the guard, too, and leaves it beside this program, where it is looked for.
                .product(name: "cgrun-guard", package: "cgrun"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
