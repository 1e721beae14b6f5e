# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_orlop_global_optspecs
    string join \n root= log= log-format= log-level= debug cgroup-manager= systemd-cgroup= rootless= timings= v/version h/help
end

function __fish_orlop_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_orlop_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_orlop_using_subcommand
    set -l cmd (__fish_orlop_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c orlop -n "__fish_orlop_needs_command" -l root -d 'Directory of the containers\' state [default: /run/orlop]' -r -F
complete -c orlop -n "__fish_orlop_needs_command" -l log -d 'File that messages are appended to [default: standard error]' -r -F
complete -c orlop -n "__fish_orlop_needs_command" -l log-format -d 'Format of the log [default: text]' -r -f -a "text\t''
json\t''"
complete -c orlop -n "__fish_orlop_needs_command" -l log-level -d 'error, warning, info or debug [default: warning]' -r
complete -c orlop -n "__fish_orlop_needs_command" -l cgroup-manager -d 'Who manages cgroups: cgroupfs, systemd or disabled [default: cgroupfs]' -r
complete -c orlop -n "__fish_orlop_needs_command" -l systemd-cgroup -d 'The same as --cgroup-manager systemd' -r -f -a "true\t''
false\t''
True\t''
False\t''
TRUE\t''
FALSE\t''
t\t''
f\t''
T\t''
F\t''
1\t''
0\t''"
complete -c orlop -n "__fish_orlop_needs_command" -l rootless -d 'Do without cgroups that may not be used [default: auto]' -r -f -a "auto\t''
true\t''
false\t''"
complete -c orlop -n "__fish_orlop_needs_command" -l timings -d 'File for the times of all phases, as Chrome trace events; - for a chart' -r -F
complete -c orlop -n "__fish_orlop_needs_command" -l debug -d 'The same as --log-level debug'
complete -c orlop -n "__fish_orlop_needs_command" -s v -l version -d 'Print version'
complete -c orlop -n "__fish_orlop_needs_command" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "create" -d 'Create a container from a bundle'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "start" -d 'Run the process of a created container'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "state" -d 'Print the state of a container'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "kill" -d 'Send a signal to a container'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "delete" -d 'Remove stopped containers'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "pause" -d 'Suspend all processes of a container'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "resume" -d 'Let a paused container go on'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "exec" -d 'Run another process in a container'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "debug" -d 'Run a command with tools that the container lacks'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "ps" -d 'List the processes of a container'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "events" -d 'Print statistics and events of a container'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "checkpoint" -d 'Not supported'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "restore" -d 'Not supported'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "run" -d 'Create a container and run its process'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "list" -d 'List containers'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "update" -d 'Change a container\'s limits'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "spec" -d 'Write a config.json to start from'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "features" -d 'Print the features of this build'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "validate" -d 'Say everything that is wrong with a bundle'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "explain" -d 'Say what would be done for a bundle, or was for a container'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "doctor" -d 'Say what this host offers and what it lacks'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "image" -d 'Images and their layers'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "bundle" -d 'Write a bundle that runs an image'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "diff" -d 'List what a container has changed of its layers'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "commit" -d 'Make an image of a container and what it has changed'
complete -c orlop -n "__fish_orlop_needs_command" -f -a "build" -d 'Make an image from a Containerfile'
complete -c orlop -n "__fish_orlop_using_subcommand create" -s b -l bundle -d 'Directory of config.json [default: the current one]' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand create" -l pid-file -d 'File to write the pid of the container\'s process to' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand create" -l console-socket -d 'Unix socket that the terminal\'s master end is sent to' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand create" -l pidfd-socket -d 'Unix socket that a descriptor of the process is sent to' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand create" -l preserve-fds -d 'Pass N descriptors, from 3 on, to the container\'s process [default: 0]' -r
complete -c orlop -n "__fish_orlop_using_subcommand create" -l timings -d 'File for the times of all phases, as Chrome trace events; - for a chart' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand create" -l no-pivot -d 'Do without pivot_root, for a root file system on a ramdisk'
complete -c orlop -n "__fish_orlop_using_subcommand create" -l no-new-keyring -d 'Keep the caller\'s session keyring'
complete -c orlop -n "__fish_orlop_using_subcommand create" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand start" -l timings -d 'File for the times of all phases, as Chrome trace events; - for a chart' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand start" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand state" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand kill" -s a -l all -d 'Send it to every process of the container'
complete -c orlop -n "__fish_orlop_using_subcommand kill" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand delete" -l timings -d 'File for the times of all phases, as Chrome trace events; - for a chart' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand delete" -s f -l force -d 'Kill what still runs; succeed if there is no such container'
complete -c orlop -n "__fish_orlop_using_subcommand delete" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand pause" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand resume" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand exec" -s p -l process -d 'File with the process as JSON, as in config.json' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l cwd -d 'Working directory [default: as configured]' -r
complete -c orlop -n "__fish_orlop_using_subcommand exec" -s e -l env -d 'Variable to set besides the configured ones' -r
complete -c orlop -n "__fish_orlop_using_subcommand exec" -s t -l tty -d 'Give it a terminal' -r -f -a "true\t''
false\t''
True\t''
False\t''
TRUE\t''
FALSE\t''
t\t''
f\t''
T\t''
F\t''
1\t''
0\t''"
complete -c orlop -n "__fish_orlop_using_subcommand exec" -s u -l user -d 'Ids to run as [default: as configured]' -r
complete -c orlop -n "__fish_orlop_using_subcommand exec" -s g -l additional-gids -d 'Further groups' -r
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l process-label -d 'SELinux label' -r
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l apparmor -d 'AppArmor profile' -r
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l no-new-privs -d 'Gain no privileges by executing programs' -r -f -a "true\t''
false\t''
True\t''
False\t''
TRUE\t''
FALSE\t''
t\t''
f\t''
T\t''
F\t''
1\t''
0\t''"
complete -c orlop -n "__fish_orlop_using_subcommand exec" -s c -l cap -d 'Capability to add to the configured ones' -r
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l cgroup -d 'Cgroup below the container\'s to run in' -r
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l pid-file -d 'File to write the pid of the process to' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l console-socket -d 'Unix socket that the terminal\'s master end is sent to' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l pidfd-socket -d 'Unix socket that a descriptor of the process is sent to' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l preserve-fds -d 'Pass N descriptors, from 3 on, to the container\'s process [default: 0]' -r
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l timings -d 'File for the times of all phases, as Chrome trace events; - for a chart' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand exec" -l ignore-paused -d 'Also in a paused container, to run once it is resumed'
complete -c orlop -n "__fish_orlop_using_subcommand exec" -s d -l detach -d 'Return once the process runs'
complete -c orlop -n "__fish_orlop_using_subcommand exec" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand debug" -l tools -d 'Directory with bin, lib and so on: the host\'s, or of another image [default: /usr]' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand debug" -s t -l tty -d 'Give it a terminal' -r -f -a "true\t''
false\t''
True\t''
False\t''
TRUE\t''
FALSE\t''
t\t''
f\t''
T\t''
F\t''
1\t''
0\t''"
complete -c orlop -n "__fish_orlop_using_subcommand debug" -s u -l user -d 'Ids to run as [default: 0:0]' -r
complete -c orlop -n "__fish_orlop_using_subcommand debug" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand ps" -s f -l format -d 'json: pids; json-full: also the pids that the container sees [default: table]' -r -f -a "table\t''
json\t''
json-full\t''"
complete -c orlop -n "__fish_orlop_using_subcommand ps" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand events" -l interval -d 'Time between two statistics, as in 500ms or 1m30s [default: 5s]' -r
complete -c orlop -n "__fish_orlop_using_subcommand events" -l format -d 'openmetrics: of the statistics, for --stats [default: json]' -r -f -a "json\t''
openmetrics\t''"
complete -c orlop -n "__fish_orlop_using_subcommand events" -l stats -d 'Print the statistics once'
complete -c orlop -n "__fish_orlop_using_subcommand events" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand run" -s b -l bundle -d 'Directory of config.json [default: the current one]' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand run" -l pid-file -d 'File to write the pid of the container\'s process to' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand run" -l console-socket -d 'Unix socket that the terminal\'s master end is sent to' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand run" -l pidfd-socket -d 'Unix socket that a descriptor of the process is sent to' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand run" -l preserve-fds -d 'Pass N descriptors, from 3 on, to the container\'s process [default: 0]' -r
complete -c orlop -n "__fish_orlop_using_subcommand run" -l timings -d 'File for the times of all phases, as Chrome trace events; - for a chart' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand run" -l no-pivot -d 'Do without pivot_root, for a root file system on a ramdisk'
complete -c orlop -n "__fish_orlop_using_subcommand run" -l no-new-keyring -d 'Keep the caller\'s session keyring'
complete -c orlop -n "__fish_orlop_using_subcommand run" -s d -l detach -d 'Return once the process runs'
complete -c orlop -n "__fish_orlop_using_subcommand run" -l keep -d 'Keep the container\'s state after its process has ended'
complete -c orlop -n "__fish_orlop_using_subcommand run" -l no-subreaper -d 'Do not take over orphans of the container\'s processes'
complete -c orlop -n "__fish_orlop_using_subcommand run" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand list" -s f -l format -d '[default: table]' -r -f -a "table\t''
json\t''"
complete -c orlop -n "__fish_orlop_using_subcommand list" -s q -l quiet -d 'Print ids only'
complete -c orlop -n "__fish_orlop_using_subcommand list" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand update" -s r -l resources -d 'JSON file of resources, - for standard input; all else is ignored then' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand update" -l memory -d 'Memory limit; -1 for none' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l memory-reservation -d 'Memory to be left to the container when memory is short' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l memory-swap -d 'Limit of memory and swap together; -1 for none' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l kernel-memory -d 'Ignored: Linux has no such limit any more' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l kernel-memory-tcp -d 'Ignored: Linux has no such limit any more' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l cpu-share -d 'Share of CPU time, relative to other containers' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l cpu-quota -d 'Microseconds of CPU time in each period; -1 for no limit' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l cpu-period -d 'Length of the period, in microseconds' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l cpu-burst -d 'Microseconds of unused quota that may be saved up' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l cpu-idle -d '1: CPU time that nobody else wants, 0: a share' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l cpu-rt-period -d 'Period for real-time processes, in microseconds' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l cpu-rt-runtime -d 'Their CPU time in each period, in microseconds' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l cpuset-cpus -d 'CPUs to use, as 0-3,7' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l cpuset-mems -d 'Memory nodes to use' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l pids-limit -d 'Number of processes and threads; -1 for no limit' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l blkio-weight -d 'Weight of block device access, 10 to 1000' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l l3-cache-schema -d 'Schema of Intel RDT\'s L3 cache allocation' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -l mem-bw-schema -d 'Schema of Intel RDT\'s memory bandwidth allocation' -r
complete -c orlop -n "__fish_orlop_using_subcommand update" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand spec" -s b -l bundle -d 'Directory to write it to [default: the current one]' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand spec" -l rootless -d 'For a user without privileges'
complete -c orlop -n "__fish_orlop_using_subcommand spec" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand features" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand validate" -s f -l format -d 'text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c orlop -n "__fish_orlop_using_subcommand validate" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand explain" -s f -l format -d 'text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c orlop -n "__fish_orlop_using_subcommand explain" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand doctor" -s f -l format -d 'text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c orlop -n "__fish_orlop_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -l store -d 'Directory of the layer store [default: /var/lib/orlop]' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -f -a "import" -d 'Take in an OCI layout, a docker archive or a root file system'
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -f -a "list" -d 'List images'
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -f -a "inspect" -d 'Print manifest and configuration of an image'
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -f -a "history" -d 'Say how an image came to be, newest first'
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -f -a "export" -d 'Write an image as an OCI layout'
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -f -a "tag" -d 'Give an image another name'
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -f -a "remove" -d 'Take a name away; prune frees what it held'
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -f -a "prune" -d 'Remove what no name, bundle or container leads to'
complete -c orlop -n "__fish_orlop_using_subcommand image; and not __fish_seen_subcommand_from import list inspect history export tag remove prune verify" -f -a "verify" -d 'Read every blob and compare it with its digest'
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from list" -s f -l format -d '[default: table]' -r -f -a "table\t''
json\t''"
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from history" -s f -l format -d '[default: table]' -r -f -a "table\t''
json\t''"
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from tag" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand image; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -l store -d 'Directory of the layer store [default: /var/lib/orlop]' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -s e -l env -d 'An environment variable' -r
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -s v -l volume -d 'A directory or file of the host' -r
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -l hostname -d 'The container\'s host name' -r
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -s u -l user -d 'Names are those of the image' -r
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -l memory -d 'Limit of memory, also with k, m or g' -r
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -l cpus -d 'Limit of processor time, such as 1.5' -r
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -l pids -d 'Limit of processes' -r
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -l read-only -d 'A root file system that nobody writes to'
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -s t -l tty -d 'With a terminal'
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -l rootless -d 'For a user without privileges'
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -l ephemeral -d 'Keep changes in memory, until the container ends'
complete -c orlop -n "__fish_orlop_using_subcommand bundle" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand diff" -s f -l format -d 'text: A (added), C (changed) or D (deleted), and a path [default: text]' -r -f -a "text\t''
json\t''"
complete -c orlop -n "__fish_orlop_using_subcommand diff" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand commit" -l store -d 'Directory of the layer store [default: /var/lib/orlop]' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand commit" -s a -l author -d 'Who made the image' -r
complete -c orlop -n "__fish_orlop_using_subcommand commit" -s m -l message -d 'What is to be said about the layer' -r
complete -c orlop -n "__fish_orlop_using_subcommand commit" -s c -l change -d 'ENV, LABEL, CMD, ENTRYPOINT, WORKDIR, USER, EXPOSE, VOLUME or STOPSIGNAL, as in a Containerfile' -r
complete -c orlop -n "__fish_orlop_using_subcommand commit" -s p -l pause -d 'Hold a running container still meanwhile [default: true]' -r -f -a "true\t''
false\t''
True\t''
False\t''
TRUE\t''
FALSE\t''
t\t''
f\t''
T\t''
F\t''
1\t''
0\t''"
complete -c orlop -n "__fish_orlop_using_subcommand commit" -s h -l help -d 'Print help'
complete -c orlop -n "__fish_orlop_using_subcommand build" -l store -d 'Directory of the layer store [default: /var/lib/orlop]' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand build" -s f -l file -d 'The Containerfile [default: Containerfile or Dockerfile of the context]' -r -F
complete -c orlop -n "__fish_orlop_using_subcommand build" -s t -l tag -d 'What to call the image' -r
complete -c orlop -n "__fish_orlop_using_subcommand build" -l build-arg -d 'The value of an ARG' -r
complete -c orlop -n "__fish_orlop_using_subcommand build" -l target -d 'The stage to make [default: the last]' -r
complete -c orlop -n "__fish_orlop_using_subcommand build" -l network -d 'What RUN can reach [default: none]' -r -f -a "none\t''
host\t''"
complete -c orlop -n "__fish_orlop_using_subcommand build" -l no-cache -d 'Run every step, whatever ran before'
complete -c orlop -n "__fish_orlop_using_subcommand build" -s h -l help -d 'Print help'
