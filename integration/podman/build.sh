# Sourced by run: images built with `podman build`, pods, and what `podman play kube` makes.
# Needs `run`, the command up to the options of a container, `cgroups`, `runtime` and `work`.

mkdir "$work/context"
echo 'from the context' >"$work/context/file"
cat >"$work/context/Containerfile" <<'END'
FROM localhost/base
ARG VERSION=none
COPY file /copied
RUN echo "version $VERSION" >/version
RUN mkdir /srv && cd /srv && seq 10 | tr '\n' ' ' >numbers && chown -R 1000:1000 /srv
RUN ["/bin/sh", "-c", "id -u >/uid; hostname >/name; grep Seccomp: /proc/self/status >/seccomp"]
USER 1000
WORKDIR /srv
ENV WHO=built
RUN echo "$WHO by $(id -u) in $PWD" >mine
CMD ["sh", "-c", "cat /copied /version numbers mine"]
END
build=(podman --runtime "$runtime" build --quiet --pull=never --network none --no-cache)
check 'build' 0 '?*' "${build[@]}" --build-arg VERSION=7 --tag built "$work/context"
check 'build: what its steps wrote' 0 'from the context version 7 1 2 3 4 5 6 7 8 9 10*built by 1000 in /srv' \
  "${run[@]}" --network none --rm built
check 'build: as root at first, with a filter' 0 '0 Seccomp:*2' "${run[@]}" --network none --rm built cat /uid /seccomp
printf 'FROM localhost/base\nRUN exit 9\n' >"$work/context/Containerfile.fails"
check 'build: a step that fails' 9 '*exit status 9*' "${build[@]}" --file "$work/context/Containerfile.fails" "$work/context"
printf 'FROM localhost/base\nRUN ["/nonexistent"]\n' >"$work/context/Containerfile.fails"
check 'build: a step without a program' 1\|127\|125 '*no such file or directory*' \
  "${build[@]}" --file "$work/context/Containerfile.fails" "$work/context"
printf 'FROM localhost/base\nRUN --mount=type=tmpfs,target=/t touch /t/f\nRUN --mount=type=bind,target=/c cat /c/file >/seen\n' \
  >"$work/context/Containerfile.mounts"
check 'build: mounts of a step' 0 '?*' "${build[@]}" --file "$work/context/Containerfile.mounts" --volume "$work:/volume:ro" --tag mounts "$work/context"
check 'build: mounts of a step: seen' 0 'from the context' "${run[@]}" --network none --rm mounts cat /seen
podman rmi --force built mounts >/dev/null 2>&1 || true

# --- pods ---------------------------------------------------------------------------------------------

pod=(podman run --pod pod)
check 'pod create' 0 '?*' podman pod create --name pod --network none --hostname inpod --cgroup-parent "/$cgroups" --infra-name infra
check 'pod: a container' 0 '?*' "${pod[@]}" --detach --name member base sh -c 'trap exit TERM; while :; do sleep 0.1; done'
check 'pod: another' 0 'inpod' "${pod[@]}" --rm base hostname
check 'pod: shares its namespaces' 0 'same' bash -c 'names="for n in net ipc uts; do readlink /proc/self/ns/\$n; done"
  [ "$(podman exec member sh -c "$names")" = "$("$@" --rm base sh -c "$names")" ] && echo same' - "${pod[@]}"
check 'pod ps' 0 'pod Running 2' podman pod ps --format '{{.Name}} {{.Status}} {{.NumberOfContainers}}'
check 'pod top' 0 '*COMMAND*' podman pod top pod
check 'pod stats' 0 '*member*' podman pod stats --no-stream pod
check 'pod pause' 0 '?*' podman pod pause pod
check 'pod pause: state' 0 'paused' inspect member '{{.State.Status}}'
check 'pod unpause' 0 '?*' podman pod unpause pod
check 'pod restart' 0 '?*' podman pod restart pod
check 'pod stop' 0 '?*' podman pod stop --time 5 pod
check 'pod stop: state' 0 'pod Exited' podman pod ps --format '{{.Name}} {{.Status}}'
check 'pod start' 0 '?*' podman pod start pod
check 'pod kill' 0 '?*' podman pod kill pod
check 'pod rm' 0 '?*' podman pod rm --force --time 0 pod

# --- play kube ----------------------------------------------------------------------------------------

# The init container is kept: removing it at once fails now and then in podman 4.3, whatever the runtime.
cat >"$work/kube.yaml" <<'END'
apiVersion: v1
kind: Pod
metadata:
  name: kube
  annotations: {io.podman.annotations.init.container.type: always}
spec:
  hostname: fromyaml
  initContainers:
    - name: first
      image: localhost/base
      command: [sh, -c, "echo prepared >/shared/file"]
      volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
    - name: main
      image: localhost/base
      command: [sh, -c, "cat /shared/file; hostname; id -u; echo $GREETING; trap exit TERM; while :; do sleep 0.1; done"]
      env: [{name: GREETING, value: good day}]
      resources: {limits: {memory: 64Mi, cpu: 500m}}
      securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: shared, mountPath: /shared}]
  volumes: [{name: shared, emptyDir: {}}]
END
check 'play kube' 0 '*kube-main*' bash -c 'podman play kube --network none "$1" >/dev/null && podman ps --format {{.Names}}' - "$work/kube.yaml"
check 'play kube: output' 0 'prepared fromyaml 1000 good day' await '*good day' podman logs kube-main
check 'play kube: limits' 0 '67108864 50000' inspect kube-main '{{.HostConfig.Memory}} {{.HostConfig.CpuQuota}}'
check 'play kube: exec' 0 'CapEff:*0000000000000000' podman exec kube-main grep CapEff /proc/self/status
check 'play kube --down' 0 '*' podman play kube --down "$work/kube.yaml"
podman volume rm --all --force >/dev/null 2>&1 || true
podman rmi --all --force >/dev/null 2>&1 || true
base_image
