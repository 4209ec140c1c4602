#!/bin/sh
# Makes a Debian host the k3s that Gatehouse expects, and says what of it no longer is; downloads nothing, changes nothing that is right already, and never restarts k3s.
set -eu
umask 022
LC_ALL=C
export LC_ALL
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root='' show_diff=no

usage() {
  cat <<'TEXT'
usage: install.sh install [--root DIR] [--k3s FILE] [--images FILE]... [--host-file FILE] [--recovery-key NAME=FILE.pub]... [--no-sshd]
       install.sh check [--root DIR] [--diff]
       install.sh record token|backup-key --where PLACE [--root DIR] <COPY
install   puts the shipped files in place, and what is given with them:
            --k3s FILE         the k3s program; --images FILE its images for a host without a registry
            --host-file FILE   names and addresses of this host, for k3s' config.yaml.d (tls-san, node-ip ...)
            --recovery-key     lets the holder of a key use gatehouse-recover and nothing else
            --no-sshd          leaves sshd as it is
check     one line for each finding, `ID: what: how to mend`; ends with 1 if there is any
record    proves a copy that is kept away from this host, by reading it back, and remembers that and where it lies
--root    works on another root folder: files alone, no service is told
TEXT
}

fail() {
  echo "install.sh: $*" >&2
  exit 2
}

# source | where it goes | mode
shipped() {
  cat <<'FILES'
config.yaml|/etc/rancher/k3s/config.yaml|600
psa.yaml|/var/lib/rancher/k3s/server/psa.yaml|600
audit.yaml|/var/lib/rancher/k3s/server/audit.yaml|600
kubelet.yaml|/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/90-gatehouse.conf|600
90-kubelet.conf|/etc/sysctl.d/90-kubelet.conf|644
90-gatehouse.conf|/etc/sysctl.d/90-gatehouse.conf|644
logind.conf|/etc/systemd/logind.conf.d/zz-gatehouse.conf|644
k3s.service.d-gatehouse.conf|/etc/systemd/system/k3s.service.d/gatehouse.conf|644
gatehouse-check.service|/etc/systemd/system/gatehouse-check.service|644
gatehouse-check.timer|/etc/systemd/system/gatehouse-check.timer|644
sshd.conf|/etc/ssh/sshd_config.d/00-gatehouse.conf|644
logrotate.conf|/etc/logrotate.d/gatehouse|644
gatehouse-recover|/usr/local/sbin/gatehouse-recover|755
gatehouse-keep|/usr/local/sbin/gatehouse-keep|755
FILES
}

# Keys that config.yaml.d may hold: what is of this host and no decision about its safety.
host_keys='tls-san|node-ip|node-external-ip|node-name|node-label|advertise-address|flannel-iface|resolv-conf|etcd-s3(-[a-z-]+)?'

key_types='ssh-ed25519|sk-ssh-ed25519@openssh\.com|ecdsa-sha2-nistp256|sk-ecdsa-sha2-nistp256@openssh\.com|ssh-rsa'

fingerprint() {
  tr -d ' \r\n' | sha256sum | cut -d ' ' -f 1
}

# put SOURCE TARGET MODE: the file as given, in one step, and only if it is not so already.
put() {
  path=$root$2
  if cmp -s "$1" "$path" && [ "$(stat -c %a "$path")" = "$3" ]; then
    return
  fi
  mkdir -p "$(dirname "$path")"
  install -m "$3" "$1" "$path.gatehouse-new"
  mv -f "$path.gatehouse-new" "$path"
  echo "wrote $2"
  changed="$changed $2"
}

folder() {
  [ -d "$root$1" ] || { mkdir -p "$root$1" && echo "made $1"; }
  chmod "$2" "$root$1"
}

# Whether somebody could still log in with a shell when root no longer can.
somebody_has_a_shell() {
  for name in $(sed -n 's/^sudo:[^:]*:[^:]*://p' "$root/etc/group" 2>/dev/null | tr , ' '); do
    home=$(sed -n "s/^$name:[^:]*:[^:]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p" "$root/etc/passwd")
    [ -z "$home" ] || [ ! -s "$root$home/.ssh/authorized_keys" ] || return 0
  done
  return 1
}

# add_key NAME=FILE.pub
add_key() {
  name=${1%%=*} file=${1#*=}
  case "$name" in '' | *[!a-z0-9-]*) fail "the name of a recovery key has only a-z, 0-9 and -: $name" ;; esac
  # A line of authorized_keys may begin with options; a public key does not.
  if [ "$(grep -c . "$file")" != 1 ] || ! grep -Eqx "($key_types) [A-Za-z0-9+/=]+( .*)?" "$file" ||
    ! ssh-keygen -l -f "$file" >/dev/null 2>&1; then
    fail "$file is no public key"
  fi
  key=$(cut -d ' ' -f 1,2 "$file")
  line="restrict,command=\"/usr/local/sbin/gatehouse-recover $name\" $key $name"
  grep -qxF "$line" "$recovery_keys" 2>/dev/null && return
  { [ ! -f "$recovery_keys" ] || grep -vF "gatehouse-recover $name\"" "$recovery_keys" || :; } >"$recovery_keys.new"
  echo "$line" >>"$recovery_keys.new"
  chmod 600 "$recovery_keys.new"
  mv -f "$recovery_keys.new" "$recovery_keys"
  echo "added the recovery key of $name"
}

# starts_with UNIT TARGET
starts_with() {
  folder "/etc/systemd/system/$2.wants" 755
  [ -L "$root/etc/systemd/system/$2.wants/$1" ] || {
    ln -s "/etc/systemd/system/$1" "$root/etc/systemd/system/$2.wants/$1" && echo "enabled $1"
  }
}

# What others may not read would look as if it were missing.
as_root() {
  [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "this needs root"
}

install_host() {
  # All that can be wrong is looked at before anything is written.
  if [ "$sshd" = yes ] && [ ! -f "$root/etc/ssh/sshd_config.d/00-gatehouse.conf" ]; then
    somebody_has_a_shell ||
      fail "root will log in only to recover, and nobody of the group sudo has a key: add one, or use --no-sshd"
  fi
  for file in $k3s $images $host_file; do [ -f "$file" ] || fail "there is no $file"; done
  for pair in $keys; do [ -f "${pair#*=}" ] || fail "there is no ${pair#*=}"; done
  if [ -n "$host_file" ]; then
    foreign=$(grep -E '^[^ #-]' "$host_file" | sed 's/:.*//' | grep -Evx "$host_keys" | tr '\n' ' ' || :)
    [ -z "$foreign" ] || fail "$host_file may hold only names and addresses, not: $foreign"
  fi
  if [ -d "$root/var/lib/rancher/k3s/server/db" ] && [ ! -f "$root/var/lib/rancher/k3s/server/cred/encryption-config.json" ]; then
    fail "this k3s was begun without encryption of Secrets, which cannot be switched on later: set up anew and restore"
  fi

  changed=''
  # k3s makes these open to all unless they are there.
  folder /var/lib/rancher/k3s/server 700
  folder /var/lib/rancher/k3s/server/logs 700
  folder /etc/rancher/k3s 755
  folder /etc/gatehouse 700
  folder /opt/k8s-backups 700
  while IFS='|' read -r source target mode; do
    case "$source" in sshd.conf) [ "$sshd" = yes ] || continue ;; esac
    put "$here/$source" "$target" "$mode"
  done <<FILES
$(shipped)
FILES
  # The check needs what it compares with, later too.
  for source in "$here"/*; do
    mode=644
    case "$source" in *.sh | */gatehouse-recover | */gatehouse-keep) mode=755 ;; esac
    put "$source" "/usr/local/share/gatehouse/host/${source##*/}" "$mode"
  done
  [ -f "$root/etc/systemd/system/k3s.service" ] || put "$here/k3s.service" /etc/systemd/system/k3s.service 644
  [ -z "$host_file" ] || put "$host_file" /etc/rancher/k3s/config.yaml.d/50-host.yaml 600
  [ -z "$k3s" ] || put "$k3s" /usr/local/bin/k3s 755
  for file in $images; do put "$file" "/var/lib/rancher/k3s/agent/images/${file##*/}" 644; done
  for pair in $keys; do add_key "$pair"; done
  starts_with k3s.service multi-user.target
  starts_with gatehouse-check.timer timers.target
  if [ -z "$root" ]; then tell_services; fi
  case "$changed" in
    *etc/rancher/* | *lib/rancher/* | *system/k3s.service* | *bin/k3s*) echo "k3s has to be started anew for this: systemctl restart k3s" ;;
    '') echo "everything was in place" ;;
  esac
}

tell_services() {
  case "$changed" in *sysctl*) sysctl --quiet --system ;; esac
  [ -d /run/systemd/system ] || return 0
  systemctl daemon-reload
  case "$changed" in *logind*) systemctl kill -s HUP systemd-logind ;; esac
  systemctl start gatehouse-check.timer
  case "$changed" in *sshd*) sshd -t && systemctl reload ssh ;; esac
}

record_copy() {
  [ -n "$where" ] || fail "say where the copy lies: --where PLACE"
  case "$where" in *[!A-Za-z0-9\ .,:/@_-]*) fail "PLACE has only letters, digits, spaces and . , : / @ _ -" ;; esac
  text=$(cat)
  copy=$(printf '%s' "$text" | fingerprint)
  [ "$copy" != "$(printf '' | fingerprint)" ] || fail "the copy is empty"
  case "$what" in
    token)
      file=$root/var/lib/rancher/k3s/server/token
      [ -f "$file" ] || fail "k3s has no token yet: start it first"
      [ "$copy" = "$(fingerprint <"$file")" ] || fail "this is not the token of this host"
      ;;
    # The half that opens backups and that no server has; `gatehouse keys age` makes it.
    backup-key) case "$text" in *AGE-SECRET-KEY-1*) ;; *) fail "this is no secret key of age" ;; esac ;;
    *) fail "there is no copy of: $what" ;;
  esac
  folder /etc/gatehouse 700
  (umask 077 && echo "$what $copy $(date -u +%Y-%m-%d) $where" >>"$copies")
  echo "recorded: a copy of the $what lies at $where"
}

k3s='' images='' host_file='' keys='' sshd=yes where='' what=''
verb=${1-}
[ "$#" = 0 ] || shift
if [ "$verb" = record ] && [ "$#" -gt 0 ]; then what=$1 && shift; fi
while [ "$#" -gt 0 ]; do
  case "$verb $1" in
    *' --root' | 'check --diff' | 'record --where' | 'install --no-sshd') ;;
    'install --k3s' | 'install --images' | 'install --host-file' | 'install --recovery-key') ;;
    *) usage >&2 && exit 2 ;;
  esac
  case "$1" in
    --diff) show_diff=yes ;;
    --no-sshd) sshd=no ;;
    *)
      [ "$#" -ge 2 ] || fail "$1 needs a value"
      # Lists are split at spaces.
      case "$1$2" in --root* | --where*) ;; *' '*) fail "no space may be in: $2" ;; esac
      case "$1" in
        --root)
          [ -d "$2" ] || fail "there is no folder $2"
          root=${2%/}
          ;;
        --k3s) k3s=$2 ;;
        --images) images="$images $2" ;;
        --host-file) host_file=$2 ;;
        --recovery-key) keys="$keys $2" ;;
        --where) where=$2 ;;
      esac
      shift
      ;;
  esac
  shift
done
recovery_keys=$root/etc/gatehouse/recovery_keys
copies=$root/etc/gatehouse/off-host-copies
case "$verb" in
  install)
    as_root
    install_host
    ;;
  check)
    as_root
    # shellcheck source=check.sh
    . "$here/check.sh"
    check
    ;;
  record)
    as_root
    record_copy
    ;;
  --help | -h | help) usage ;;
  *) usage >&2 && exit 2 ;;
esac
