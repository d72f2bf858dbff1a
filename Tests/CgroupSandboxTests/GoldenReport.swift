/// `ReportTests.full`, as it must look as long as `schema` is 1.
let goldenReport = """
    {
      "advice" : null,
      "argv" : [
        "/usr/bin/python3",
        "-c",
        "pass"
      ],
      "boot_id" : "7e2b9b0e-0000-4000-8000-000000000000",
      "cause" : "pids_limit",
      "confidence" : "possible",
      "containment" : {
        "achieved" : "guarded",
        "cgroup" : "/sys/fs/cgroup/x/cgrun-0123456789abcdef",
        "controllers" : [
          "memory",
          "pids"
        ],
        "guards_replaced" : 0,
        "hierarchy" : "unified",
        "joined_before_exec" : false,
        "layers" : [
          {
            "detail" : "kills the job when the launcher or its parent is lost",
            "name" : "guard"
          }
        ],
        "manager" : "cgroupfs",
        "manager_reason" : "asked for",
        "requested" : "guarded",
        "systemd_version" : null,
        "unit" : null
      },
      "core_dumped" : true,
      "cpu" : {
        "system_seconds" : 0.05,
        "throttled_seconds" : null,
        "usage_seconds" : 0.25,
        "user_seconds" : 0.2
      },
      "cwd" : "/srv/app",
      "ended_at" : "2026-01-02T03:04:07.178Z",
      "error" : null,
      "escape_detected" : null,
      "evidence" : [
        {
          "source" : "pids.events: max",
          "value" : "7"
        }
      ],
      "exit_code" : null,
      "explanation" : null,
      "host" : "builder",
      "io" : [
        {
          "device" : "8:0",
          "read_bytes" : 4096,
          "write_bytes" : 512
        }
      ],
      "job_id" : "0123456789abcdef",
      "launcher_exit_code" : 134,
      "limits" : {
        "changed_at" : "2026-01-02T03:04:06.000Z",
        "cpu_cores" : 1.5,
        "cpu_timeout_seconds" : null,
        "cpu_weight" : null,
        "cpuset" : "0-3",
        "io_max" : [
          {
            "device" : "8:0",
            "read_bytes_per_second" : 1048576,
            "read_operations_per_second" : null,
            "write_bytes_per_second" : null,
            "write_operations_per_second" : 100
          }
        ],
        "memory_high_bytes" : null,
        "memory_max_bytes" : 67108864,
        "pids_max" : 32,
        "swap_max_bytes" : 0,
        "wall_timeout_seconds" : 90
      },
      "limits_changed" : [
        {
          "file" : "/sys/fs/cgroup/x/cgrun-0123456789abcdef/memory.max",
          "found" : null,
          "set" : "67108864"
        }
      ],
      "memory" : {
        "at_end" : {
          "anonymous_bytes" : 0,
          "file_bytes" : 8192,
          "kernel_bytes" : null,
          "shared_bytes" : 4096
        },
        "events" : {
          "oom_kill" : 0
        },
        "events_local" : {
          "oom_kill" : 0
        },
        "peak_bytes" : 33554432,
        "swap_peak_bytes" : null
      },
      "oom_in_tree" : true,
      "pids" : {
        "peak" : 5,
        "refused_forks" : 0
      },
      "pressure" : {
        "cpu" : {
          "full_seconds" : null,
          "some_seconds" : 1.5
        },
        "io" : null,
        "memory" : {
          "full_seconds" : 0.25,
          "some_seconds" : 0.5
        }
      },
      "result" : "dumped",
      "schema" : 1,
      "signal" : {
        "name" : "SIGABRT",
        "number" : 6
      },
      "started_at" : "2026-01-02T03:04:05.678Z",
      "strays" : [
        {
          "comm" : "sleep",
          "pid" : 4711
        }
      ],
      "strays_killed" : true,
      "termination" : {
        "blocking" : [
          {
            "comm" : "sleep",
            "pid" : 4711
          }
        ],
        "cgroup_kill" : true,
        "empty_after_seconds" : 0.125,
        "escalated" : true,
        "grace_seconds" : 5,
        "requested_by" : "timeout",
        "signal" : {
          "name" : "SIGTERM",
          "number" : 15
        }
      },
      "uid" : 1000,
      "unavailable" : [
        {
          "field" : "io",
          "reason" : "the io controller is not enabled for this job"
        }
      ],
      "unkillable" : [
        {
          "comm" : "nfs",
          "pid" : 4712
        }
      ],
      "wall_seconds" : 1.5
    }
    """
