public import ArgumentParser
public import SystemdUnits

// The command line calls these values as the library does.

extension Service.Restart: ExpressibleByArgument {}
extension Service.KillMode: ExpressibleByArgument {}
extension Hardening.Profile: ExpressibleByArgument {}
