// swift-tools-version: 6.2

import PackageDescription

// Apart from the main package, which does not depend on its peers.
let package = Package(
    name: "subprocess-timing",
    dependencies: [.package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.0")],
    targets: [
        .executableTarget(
            name: "subprocess-timing", dependencies: [.product(name: "Subprocess", package: "swift-subprocess")])
    ],
    swiftLanguageModes: [.v6]
)
