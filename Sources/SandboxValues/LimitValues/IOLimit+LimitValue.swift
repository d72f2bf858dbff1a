extension [IOLimit]: LimitValue {
    package init?(figure: [IOLimit.Figure]) { self = figure.map(\.limit) }

    package var figure: [IOLimit.Figure]? { map(IOLimit.Figure.init) }

    package var kernelTexts: [String] {
        map { limit in
            let rates = limit.sortedRates.map { "\($0.rate.rawValue)=\($0.value.kernelText)" }
            return "\(limit.device) \(rates.joined(separator: " "))"
        }
    }

    package func busProperties(_: String) -> [LimitKind.BusProperty] {
        IOLimit.Rate.allCases.compactMap { rate in
            let devices = compactMap { limit in
                limit.rates[rate].map { (path: limit.device.systemdPath, value: $0.value ?? .max) }
            }
            return devices.isEmpty ? nil : LimitKind.BusProperty(name: rate.names.directive, value: .devices(devices))
        }
    }

    package func directives(_: String) -> [LimitKind.Directive] {
        flatMap { limit in
            limit.sortedRates.map { ($0.rate.names.directive, "\(limit.device.systemdPath) \($0.value.unitText)") }
        }
    }

    package var origin: String? {
        let paths = compactMap { if case .path(let path) = $0.device { path } else { nil } }
        return paths.isEmpty ? nil : paths.joined(separator: ", ")
    }

    package func merging(_ later: [IOLimit], keepingStricter: Bool) -> [IOLimit] {
        later.reduce(into: self) { limits, other in
            guard let index = limits.firstIndex(where: { $0.device == other.device }) else {
                limits.append(other)
                return
            }
            limits[index].rates.merge(other.rates) { sooner, later in
                keepingStricter && (sooner.value ?? .max) < (later.value ?? .max) ? sooner : later
            }
        }
    }
}

extension IOLimit {
    /// The limits of one device in the report. A rate without a limit is `null`.
    package struct Figure: Codable {
        let limit: IOLimit

        private static let device = NameKey(stringValue: "device")

        init(_ limit: IOLimit) { self.limit = limit }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: NameKey.self)
            try container.encode(limit.device.description, forKey: Self.device)
            for rate in Rate.allCases {
                try container.encode(limit.rates[rate]?.value, forKey: NameKey(stringValue: rate.names.reportKey))
            }
        }

        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: NameKey.self)
            guard let device = Device(try container.decode(String.self, forKey: Self.device)) else {
                throw LimitSyntaxError(accepted: IOLimit.accepted)
            }
            var limit = IOLimit(device, [:])
            for rate in Rate.allCases {
                let value = try container.decodeIfPresent(
                    UInt64.self, forKey: NameKey(stringValue: rate.names.reportKey))
                limit.rates[rate] = value.map { .value($0) }
            }
            self.limit = limit
        }
    }
}
