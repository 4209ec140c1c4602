/** Which devices and mounts are shown: one pattern to leave out, or one to take; with node_exporter's defaults. */

/** Whether something of this name is shown. */
export type Filter = (name: string) => boolean

/** `include` alone takes what it matches, else everything that `exclude` does not match; both together are a configuration error. */
export const makeFilter = (include: RegExp | undefined, exclude: RegExp | undefined): Filter => {
  if (include !== undefined) return (name) => include.test(name)
  return exclude === undefined ? () => true : (name) => !exclude.test(name)
}

/** node_exporter 1.12's default, verbatim. */
export const upstreamMountExclude =
  "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"

/** The same with what k3s, containerd and the kubelet mount for each pod. */
export const defaultMountExclude =
  "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+" +
  "|run/k3s/containerd/.+|run/containerd/.+|run/netns/.+|var/lib/kubelet/pods/.+|var/lib/rancher/k3s/agent/containerd/.+)($|/)"

/** node_exporter 1.12's default, verbatim. */
export const upstreamFsTypeExclude =
  "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$"

/** The same with the filesystems whose server can hang: a team that has them asks for them. */
export const defaultFsTypeExclude = upstreamFsTypeExclude.replace(/\)\$$/u, "|nfs4?|cifs|smb3|fuse|fuse\\..+)$")

/** node_exporter 1.12's default, verbatim: RAM disks, loop devices, floppies, partitions. */
export const defaultDiskExclude = "^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\\d+n\\d+p)\\d+$"
