//! Real shapes of cgroup paths, each with where it was seen or what makes it. Ids are stood for by
//! letters, so that a line can be read: `{A}` and `{B}` are container ids, `{U}` is a pod's uid,
//! `{u}` the same with `_`, `{S}` a static pod's hash.

use super::*;

const A: &str = "594f6557dc0faa92e0ceac237b78c9e19ad12db5c471c3d2d950d4f2d6b98e4d";
const B: &str = "fd9d0ea06257a9780827cbc7fd92e3812a54fca26d63e191b73610d5d48b9cbd";
const U: &str = "26822839-8c92-4c60-a921-ffc5991fa00f";
const S: &str = "6576683a93d91d8e2119df2c2755f2f1";

use Level::{
    Container as Box_, InContainer as Inside, Monitor, Other, Pod as PodItself, Root, Slice, Unit,
};
use Qos::{BestEffort, Burstable, Guaranteed};
use Runtime::{Containerd, CriO, Docker, Kata, Podman};

/// Path, where it is from, and what it is: level, pod's uid and quality of service, container's id
/// and runtime, unit.
type Shape = (
    &'static str,
    &'static str,
    Level,
    Option<(&'static str, Option<Qos>)>,
    Option<(&'static str, Option<Runtime>)>,
    Option<&'static str>,
);

#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    // Kubernetes, systemd driver: ToSystemd in pkg/kubelet/cm/cgroup_manager_linux.go.
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{u}.slice/cri-containerd-{A}.scope",
     "containerd, iovisor/kubectl-trace#207", Box_, Some((U, Some(Burstable))), Some((A, Some(Containerd))), Some("kubepods-burstable.slice")),
    ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{u}.slice/cri-containerd-{A}.scope",
     "containerd, the same", Box_, Some((U, Some(BestEffort))), Some((A, Some(Containerd))), Some("kubepods-besteffort.slice")),
    ("/kubepods.slice/kubepods-pod{u}.slice/cri-containerd-{A}.scope",
     "guaranteed, kata-containers/kata-containers#11598", Box_, Some((U, Some(Guaranteed))), Some((A, Some(Containerd))), Some("kubepods.slice")),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{u}.slice/crio-{A}.scope",
     "CRI-O with runc, iovisor/kubectl-trace#174", Box_, Some((U, Some(Burstable))), Some((A, Some(CriO))), Some("kubepods-burstable.slice")),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{u}.slice/crio-{A}.scope/container",
     "CRI-O with crun: libcrun's sub-cgroup `container`", Inside, Some((U, Some(Burstable))), Some((A, Some(CriO))), Some("kubepods-burstable.slice")),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{u}.slice/crio-conmon-{A}.scope",
     "CRI-O's monitor, opencontainers/runc#4620", Monitor, Some((U, Some(Burstable))), None, Some("kubepods-burstable.slice")),
    ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{u}.slice/docker-{A}.scope",
     "dockershim, kinvolk/traceloop#34", Box_, Some((U, Some(BestEffort))), Some((A, Some(Docker))), Some("kubepods-besteffort.slice")),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{u}.slice",
     "the pod itself", PodItself, Some((U, Some(Burstable))), None, Some("kubepods-burstable.slice")),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{S}.slice/cri-containerd-{A}.scope",
     "static pod: kubelet, applyDefaults in pkg/kubelet/config/common.go", Box_, Some((S, Some(Burstable))), Some((A, Some(Containerd))), Some("kubepods-burstable.slice")),
    ("/kubepods.slice/kubepods-burstable.slice",
     "the burstable pods together", Slice, None, None, Some("kubepods-burstable.slice")),
    ("/kubepods.slice", "all pods", Slice, None, None, Some("kubepods.slice")),
    // Kubernetes, cgroupfs driver.
    ("/kubepods/burstable/pod{U}/{A}",
     "minikube, sustainable-computing-io/kepler#684", Box_, Some((U, Some(Burstable))), Some((A, None)), None),
    ("/kubepods/besteffort/pod{U}/{A}",
     "kinvolk/traceloop#34", Box_, Some((U, Some(BestEffort))), Some((A, None)), None),
    ("/kubepods/pod{U}/{A}",
     "k3s, guaranteed: CJLove/rt-operator notes", Box_, Some((U, Some(Guaranteed))), Some((A, None)), None),
    ("/kubepods/burstable/pod{U}", "the pod itself", PodItself, Some((U, Some(Burstable))), None, None),
    ("/kubepods/burstable/pod{S}/{A}",
     "static pod, pixie-io/pixie#399", Box_, Some((S, Some(Burstable))), Some((A, None)), None),
    ("/kubepods/besteffort/pod{U}/crio-{A}",
     "CRI-O with cgroupfs, cri-o/cri-o#812", Box_, Some((U, Some(BestEffort))), Some((A, Some(CriO))), None),
    ("/kubepods/besteffort", "the best-effort pods together", Slice, None, None, None),
    // The runtime's and the kubelet's drivers differ.
    ("/system.slice/containerd.service/kubepods-burstable-pod{u}.slice:cri-containerd:{A}",
     "kubernetes/kubernetes#106515", Box_, Some((U, Some(Burstable))), Some((A, Some(Containerd))), Some("containerd.service")),
    ("/kubepods-besteffort-pod{u}.slice:cri-containerd:{A}",
     "containerd/nri#227, as it is asked for", Box_, Some((U, Some(BestEffort))), Some((A, Some(Containerd))), None),
    // Nested: kind's nodes are containers.
    ("/system.slice/docker-{B}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{u}.slice/cri-containerd-{A}.scope",
     "kind, sustainable-computing-io/kepler#2119", Box_, Some((U, Some(BestEffort))), Some((A, Some(Containerd))), Some("system.slice")),
    ("/docker/{B}/kubelet/kubepods/burstable/pod{U}/{A}",
     "kind before systemd, cgroup v1", Box_, Some((U, Some(Burstable))), Some((A, None)), None),
    ("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{u}.slice/cri-containerd-{A}.scope",
     "inside kind's node, kubernetes-sigs/kind#3947", Box_, Some((U, Some(Burstable))), Some((A, Some(Containerd))), Some("kubelet-kubepods-burstable.slice")),
    ("/docker/{B}/kubelet.slice", "kind's node: part of the container", Inside, None, Some((B, Some(Docker))), None),
    ("/kubepods/burstable/pod{U}/{A}/docker/{B}",
     "Docker in a pod: part of the pod's container", Inside, Some((U, Some(Burstable))), Some((A, None)), None),
    // Private cgroup namespaces and partial mounts.
    ("/../../kubepods-burstable-pod{u}.slice/cri-containerd-{A}.scope",
     "cgroup_namespaces(7), from a sibling pod", Box_, Some((U, Some(Burstable))), Some((A, Some(Containerd))), None),
    ("/../cri-containerd-{A}.scope",
     "the same, a container of the same pod", Box_, None, Some((A, Some(Containerd))), None),
    ("/../../../burstable/pod{U}/{A}",
     "the same with cgroupfs", Box_, Some((U, Some(Burstable))), Some((A, None)), None),
    ("/..", "podman-container-tools/podman#20073", Root, None, None, None),
    // Docker, containerd, Podman alone.
    ("/docker/{A}", "Docker with cgroupfs, netdata/netdata#4981", Box_, None, Some((A, Some(Docker))), None),
    ("/system.slice/docker-{A}.scope", "Docker with systemd, neuvector share/system/cgroup_test.go",
     Box_, None, Some((A, Some(Docker))), Some("system.slice")),
    ("/{A}", "Docker on old Debian, neuvector share/system/cgroup_test.go", Box_, None, Some((A, None)), None),
    ("/ecs/a52246f2-daa7-47b4-9e84-0043331e1da0/{A}", "ECS, netdata/netdata#4981", Box_, None, Some((A, None)), None),
    ("/ecs/bf1ddbfbbc8f45c9b1ac4f779368741e", "an ECS task, aws/amazon-ecs-agent#4077", Other, None, None, None),
    ("/ecstasks.slice/ecstasks-bf1ddbfbbc8f45c9b1ac4f779368741e.slice/docker-{A}.scope",
     "ECS on v2, aws/amazon-ecs-agent#4077", Box_, None, Some((A, Some(Docker))), Some("ecstasks-bf1ddbfbbc8f45c9b1ac4f779368741e.slice")),
    ("/k8s.io/{A}", "containerd's namespace: ctr, cgroup path `/<namespace>/<id>`", Box_, None, Some((A, Some(Containerd))), None),
    ("/system.slice/nerdctl-{A}.scope", "nerdctl", Box_, None, Some((A, Some(Containerd))), Some("system.slice")),
    ("/machine.slice/libpod-{A}.scope", "Podman", Box_, None, Some((A, Some(Podman))), Some("machine.slice")),
    ("/machine.slice/libpod-{A}.scope/container", "Podman with crun", Inside, None, Some((A, Some(Podman))), Some("machine.slice")),
    ("/machine.slice/libpod-conmon-{A}.scope", "Podman's monitor", Monitor, None, None, Some("machine.slice")),
    ("/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope", "a pod of Podman's: not Kubernetes'",
     Box_, None, Some((A, Some(Podman))), Some("machine-libpod_pod_{B}.slice")),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope",
     "rootless Podman, podman-container-tools/podman#4639", Box_, None, Some((A, Some(Podman))), Some("user.slice")),
    ("/libpod_parent/libpod-{A}", "Podman with cgroupfs, podman-container-tools/podman#8330", Box_, None, Some((A, Some(Podman))), None),
    // Virtual machines.
    ("/kubepods/pod{U}/kata_{A}", "Kata, kata-containers/kata-containers#4128", Box_, Some((U, Some(Guaranteed))), Some((A, Some(Kata))), None),
    ("/kata_overhead/{A}", "the same", Box_, None, Some((A, Some(Kata))), None),
    // systemd.
    ("/system.slice/nginx.service", "systemd", Unit, None, None, Some("nginx.service")),
    ("/system.slice/nginx.service/worker", "a service's own tree", Unit, None, None, Some("nginx.service")),
    ("/system.slice/system-getty.slice/getty@tty1.service", "an instance", Unit, None, None, Some("getty@tty1.service")),
    ("/system.slice/_memory.service", "cg_escape in systemd's src/basic/cgroup-util.c", Unit, None, None, Some("memory.service")),
    ("/system.slice/run-r0123456789abcdef0123456789abcdef.scope", "systemd-run --scope", Unit, None, None, Some("run-r0123456789abcdef0123456789abcdef.scope")),
    ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope", "a user's program", Unit, None, None, Some("app-firefox.scope")),
    ("/user.slice/user-1000.slice/session-2.scope", "a login", Unit, None, None, Some("session-2.scope")),
    ("/init.scope", "systemd itself", Unit, None, None, Some("init.scope")),
    ("/system.slice", "a slice", Slice, None, None, Some("system.slice")),
    ("/system.slice/my-pod12.slice", "no pod of the kubelet's", Slice, None, None, Some("my-pod12.slice")),
    ("/", "the root", Root, None, None, None),
    ("/buildkit/k3x0", "nobody's convention", Other, None, None, None),
];

fn filled(text: &str) -> String {
    let small = U.replace('-', "_");
    [
        ("{A}", A),
        ("{B}", B),
        ("{U}", U),
        ("{u}", &small),
        ("{S}", S),
    ]
    .iter()
    .fold(text.to_owned(), |text, (mark, value)| {
        text.replace(mark, value)
    })
}

#[test]
fn each_shape_is_who_it_is() {
    for (path, source, level, pod, container, unit) in SHAPES {
        let found = identify(&filled(path));
        let expected = PathIdentity {
            level: *level,
            pod: pod.map(|(uid, qos)| Pod {
                uid: uid.to_owned(),
                qos,
            }),
            container: container.map(|(id, runtime)| Container {
                id: id.to_owned(),
                runtime,
            }),
            unit: unit.map(filled),
        };
        assert_eq!(found, expected, "{path} ({source})");
    }
    assert!(SHAPES.len() >= 30);
}
