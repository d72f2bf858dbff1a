// What a program that imports CgroupSandbox names in limits, results and errors.
@_exported public import Cgroups
@_exported public import LinuxSystem
@_exported public import SandboxValues
