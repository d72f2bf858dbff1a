// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "consumer",
    dependencies: [
        .package(url: "https://github.com/cgrun/cgrun", from: "0.1.0")
    ],
    targets: [
        .executableTarget(
            name: "consumer",
            dependencies: [
                .product(name: "CgroupSandbox", package: "cgrun"),
                // Builds the guard, too, and leaves it beside this program, where it is looked for.
                .product(name: "cgrun-guard", package: "cgrun"),
            ])
    ]
)
