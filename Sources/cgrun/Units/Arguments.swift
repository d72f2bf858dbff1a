public import ArgumentParser
public import SystemdUnits

// The library's own words are the command line's words.

extension Service.Restart: ExpressibleByArgument {}
extension Service.KillMode: ExpressibleByArgument {}
extension Hardening.Profile: ExpressibleByArgument {}
