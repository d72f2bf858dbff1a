// A program that imports CgroupSandbox needs these to name limits, options, results and errors.
@_exported public import Cgroups
@_exported public import LinuxSystem
@_exported public import SandboxValues
@_exported public import struct SystemPackage.FilePath
@_exported public import SystemdBus
