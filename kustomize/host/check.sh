# shellcheck shell=sh
# The findings of `install.sh check`, each with its id, what is wrong and how to mend it; reads files alone and changes none. Numbers are those of the CIS Kubernetes Benchmark 2.1 in k3s' self-assessment, R those of Gatehouse's recovery drills.

server=$root/var/lib/rancher/k3s/server
agent=$root/var/lib/rancher/k3s/agent
config=$root/etc/rancher/k3s/config.yaml
findings=0

finding() {
  findings=$((findings + 1))
  echo "$1: $2: $3"
}

# shown PATH: as it is called on the host.
shown() {
  echo "${1#"$root"}"
}

# mode_within ID MODE PATH...: each has no permission beyond MODE and belongs to root. Those that are not there are
# not judged: a k3s that has not started yet, or another version, has not all. One look at all files is in check_modes.
modes=''
mode_within() {
  id=$1 most=$2
  shift 2
  for path in "$@"; do
    [ ! -e "$path" ] || modes="$modes$id|$most|$path
"
  done
}

check_modes() {
  mode_within CIS-1.1.11 700 "$server/db/etcd"
  mode_within CIS-1.1.13 600 "$server/cred/admin.kubeconfig" "$root/etc/rancher/k3s/k3s.yaml"
  mode_within CIS-1.1.15 600 "$server/cred/scheduler.kubeconfig"
  mode_within CIS-1.1.17 600 "$server/cred/controller.kubeconfig"
  mode_within CIS-1.1.19 755 "$server/tls" "$server/tls/etcd"
  mode_within CIS-1.1.20 644 "$server"/tls/*.crt "$server"/tls/etcd/*.crt
  mode_within CIS-1.1.21 600 "$server"/tls/*.key "$server"/tls/etcd/*.key
  mode_within CIS-4.1.3 600 "$agent/kubeproxy.kubeconfig"
  mode_within CIS-4.1.5 600 "$agent/kubelet.kubeconfig"
  mode_within CIS-4.1.7 644 "$agent/client-ca.crt"
  mode_within CIS-1.2.16 700 "$server/logs"
  mode_within TOKEN 600 "$server/token"
  # Files belong to whom the root folder belongs to, on a host root.
  owner=$(stat -c %u:%g "$root/")
  looks=$(printf '%s' "$modes" | cut -d '|' -f 3 | tr '\n' '\0' | xargs -0 stat -L -c '%a|%u:%g')
  while IFS='|' read -r id most path && IFS='|' read -r mode belongs <&3; do
    [ $((0$mode & ~0$most & 07777)) -eq 0 ] || finding "$id" "$(shown "$path") has mode $mode" "chmod $most $(shown "$path")"
    [ "$belongs" = "$owner" ] || finding "$id" "$(shown "$path") belongs to $belongs" "chown root:root $(shown "$path")"
  done <<MODES 3<<LOOKS
${modes%?}
MODES
$looks
LOOKS
}

# settings FILE: KEY=VALUE of what stands at the top of a YAML file, LIST NAME=VALUE of the items of its lists.
settings() {
  awk '
    { sub(/[ ]+#.*$/, "") }
    /^[^ #-]/ {
      at = index($0, ":"); key = substr($0, 1, at - 1); value = substr($0, at + 1)
      gsub(/^[ "\047]+|[ "\047]+$/, "", value); print key "=" value
    }
    /^ *- / { sub(/^ *- */, ""); gsub(/["\047]/, ""); print key " " $0 }' "$1"
}

check_shipped() {
  files=''
  while IFS='|' read -r source target mode; do
    if [ -f "$root$target" ]; then
      files="$files$source
$root$target
"
      mode_within FILE "$mode" "$root$target"
    else
      finding FILE "$target is missing" "install.sh install"
    fi
  done <<FILES
$(shipped)
FILES
  [ -n "$files" ] || return 0
  # Pairs of lines, a shipped file and the host's.
  sums=$(cd "$here" && printf '%s' "$files" | tr '\n' '\0' | xargs -0 sha256sum)
  while read -r ours source && read -r theirs path; do
    [ "$ours" != "$theirs" ] || continue
    finding FILE "$(shown "$path") is not what is shipped as $source" "install.sh install"
    [ "$show_diff" = no ] || diff -u "$path" "$here/$source" | sed 's/^/  /' || :
  done <<SUMS
$sums
SUMS
}

check_config() {
  [ -f "$config" ] || return 0
  have=$(settings "$config")
  while IFS='|' read -r id wanted; do
    case "
$have
" in *"
$wanted
"*) ;; *) finding "$id" "config.yaml has no $wanted" "install.sh install, then systemctl restart k3s" ;; esac
  done <<'SETTINGS'
ETCD|cluster-init=true
CIS-1.2.27|secrets-encryption=true
CIS-1.2.28|secrets-encryption-provider=secretbox
KERNEL|protect-kernel-defaults=true
CIS-1.1.13|write-kubeconfig-mode=0600
CIS-1.2.9|kube-apiserver-arg enable-admission-plugins=NodeRestriction,EventRateLimit
CIS-5.2|kube-apiserver-arg admission-control-config-file=/var/lib/rancher/k3s/server/psa.yaml
CIS-3.2.1|kube-apiserver-arg audit-policy-file=/var/lib/rancher/k3s/server/audit.yaml
CIS-1.2.16|kube-apiserver-arg audit-log-path=/var/lib/rancher/k3s/server/logs/audit.log
CIS-1.2.17|kube-apiserver-arg audit-log-maxage=30
CIS-1.2.18|kube-apiserver-arg audit-log-maxbackup=10
CIS-1.2.19|kube-apiserver-arg audit-log-maxsize=100
CIS-1.2.30|kube-apiserver-arg service-account-extend-token-expiration=false
CIS-1.3.1|kube-controller-manager-arg terminated-pod-gc-threshold=100
CIS-4.2.13|kubelet-arg pod-max-pids=4096
SETTINGS
  for path in "$config".d/*; do
    [ -f "$path" ] || continue
    mode_within FILE 600 "$path"
    # k3s reads these after config.yaml, and the last value of a key counts.
    foreign=$(grep -E '^[^ #-]' "$path" | sed 's/:.*//' | grep -Evx "$host_keys" | tr '\n' ' ' || :)
    [ -z "$foreign" ] || finding DROPIN "$(shown "$path") sets ${foreign% }" "leave there only names and addresses of this host"
  done
}

check_encryption() {
  path=$server/cred/encryption-config.json
  if [ ! -f "$path" ]; then
    # Where k3s has not started yet there is nothing to encrypt.
    [ ! -d "$server/db" ] || finding CIS-1.2.27 "the cluster was begun without encryption of Secrets" \
      "it cannot be switched on later: set up anew and restore"
    return 0
  fi
  mode_within CIS-1.2.27 600 "$path"
  # The first provider writes; identity writes plainly.
  first=$(tr -d ' \n\t' <"$path" | sed -n 's/.*"providers":\[{"\([a-z]*\)".*/\1/p')
  [ "$first" = secretbox ] || finding CIS-1.2.28 "Secrets are written by the provider ${first:-of an unknown name}" \
    "k3s secrets-encrypt enable, or rotate-keys, then restart k3s"
}

check_kernel() {
  # Key, value, path.
  wanted=$(awk -v root="$root" '$2 == "=" { path = $1; gsub(/\./, "/", path); print $1, $3, root "/proc/sys/" path }' \
    "$here/90-kubelet.conf" "$here/90-gatehouse.conf")
  # In one read each: the kernel gives nothing to who comes back for more, as the shell's own read does. What this
  # kernel has not is left out.
  values=$(printf '%s\n' "$wanted" | cut -d ' ' -f 3- | tr '\n' '\0' | xargs -0 grep -s '' /dev/null || :)
  while read -r key value path; do
    case "
$values
" in
      *"
$path:$value
"*) ;;
      *"
$path:"*) finding KERNEL "$key is not $value" "sysctl --system" ;;
    esac
  done <<VALUES
$wanted
VALUES
}

check_certificates() {
  if ! command -v openssl >/dev/null; then
    finding R11 "the age of certificates cannot be seen" "apt-get install openssl"
    return
  fi
  for path in "$server"/tls/*.crt "$server"/tls/etcd/*.crt "$agent"/*.crt; do
    [ -f "$path" ] || continue
    name=$(shown "$path")
    # Authorities last ten years and k3s does not renew them; leaves last 365 days.
    case "$path" in *-ca.crt) days=365 mend="k3s certificate rotate-ca, well before" ;;
      *) days=120 mend="systemctl restart k3s: it renews only when it starts" ;; esac
    # For most this one look is enough.
    ! openssl x509 -noout -checkend $((days * 86400)) -in "$path" >/dev/null 2>&1 || continue
    if ! end=$(openssl x509 -noout -enddate -in "$path" 2>/dev/null); then
      finding R11 "$name is no certificate" "systemctl restart k3s"
    elif ! openssl x509 -noout -checkend 0 -in "$path" >/dev/null; then
      finding R11 "$name has ended (${end#*=})" "$mend"
    else
      finding R11 "$name ends within $days days (${end#*=})" "$mend"
    fi
  done
}

check_copies() {
  [ ! -f "$server/token" ] || token=$(fingerprint <"$server/token")
  for what in token backup-key; do
    line=$(grep "^$what " "$copies" 2>/dev/null | tail -n 1) || :
    mend="bring the copy back and prove it: install.sh record $what --where PLACE <COPY"
    if [ -z "$line" ]; then
      finding R14 "no copy of the $what away from this host is on record" "$mend"
      continue
    fi
    # shellcheck disable=SC2086 # boundary: the line has words without patterns
    set -- $line
    if [ "$what" = token ] && [ "${token-}" != "$2" ]; then
      finding R14 "the recorded copy of the token is of another token" "$mend"
    elif [ "$(date -d "$3 + 400 days" +%s 2>/dev/null || echo 0)" -lt "$(date +%s)" ]; then
      finding R14 "nobody has read the copy of the $what since $3" "$mend"
    fi
  done
}

check_units() {
  system=$root/etc/systemd/system
  [ -x "$root/usr/local/bin/k3s" ] || finding R12 "/usr/local/bin/k3s is missing" "install.sh install --k3s FILE"
  [ -e "$system/multi-user.target.wants/k3s.service" ] || [ -L "$system/multi-user.target.wants/k3s.service" ] ||
    finding R12 "k3s does not start with the host" "systemctl enable k3s"
  [ -L "$system/timers.target.wants/gatehouse-check.timer" ] ||
    finding R12 "this check does not run by itself" "systemctl enable --now gatehouse-check.timer"
  if [ ! -f "$system/k3s.service" ]; then
    finding R12 "there is no k3s.service" "install.sh install"
  else
    # Flags of the command line win over config.yaml.
    flags=$(sed -e ':a' -e '/\\$/N; s/\\\n//; ta' "$system/k3s.service" | grep '^ExecStart=' | grep -o -e '--[a-z-]*' | tr '\n' ' ' || :)
    [ -z "$flags" ] || finding DROPIN "k3s.service sets ${flags% }" "leave ExecStart=/usr/local/bin/k3s server alone"
    grep -q '^KillMode=process$' "$system/k3s.service" ||
      finding R12 "a restart of k3s ends every container" "KillMode=process in k3s.service"
  fi
  # Of all drop-ins the last by name counts.
  delay=$(find "$root/usr/lib/systemd/logind.conf.d" "$root/etc/systemd/logind.conf.d" -name '*.conf' 2>/dev/null |
    sed 's/\(.*\/\)\(.*\)/\2 \1\2/' | sort | while read -r _ path; do sed -n 's/^InhibitDelayMaxSec=\([0-9]*\).*/\1/p' "$path"; done | tail -n 1)
  grace=$(awk '$1 == "shutdownGracePeriodSeconds:" { sum += $2 } END { print sum }' "$here/kubelet.yaml")
  [ "${delay:-5}" -ge "$grace" ] ||
    finding R12 "logind holds a shutdown back for ${delay:-5} s, and pods may take $grace s" "install.sh install, and remove what sorts after it in logind.conf.d"
}

check_ssh() {
  first=$(grep -Ev '^[[:space:]]*(#|$)' "$root/etc/ssh/sshd_config" 2>/dev/null | head -n 1) || :
  [ "$first" = "Include /etc/ssh/sshd_config.d/*.conf" ] ||
    finding SSH "sshd_config does not begin with its drop-ins" "Include /etc/ssh/sshd_config.d/*.conf as its first line"
  first=$(find "$root/etc/ssh/sshd_config.d" -name '*.conf' 2>/dev/null | sed 's/.*\///' | sort | head -n 1)
  [ "$first" = 00-gatehouse.conf ] || finding SSH "sshd reads ${first:-nothing} before 00-gatehouse.conf" "rename what sorts before it: the first value counts"
  if [ -z "$root" ] && command -v sshd >/dev/null && [ "$(id -u)" = 0 ]; then
    effective=$(sshd -T -C user=root,host=localhost,addr=127.0.0.1 2>/dev/null) || :
    for line in 'passwordauthentication no' 'permitrootlogin forced-commands-only' 'authenticationmethods publickey' 'disableforwarding yes'; do
      echo "$effective" | grep -qx "$line" || finding SSH "sshd does not say: $line" "sshd -T, and install.sh install"
    done
  fi
  if [ ! -s "$recovery_keys" ]; then
    finding R13 "no key may recover this host" "install.sh install --recovery-key NAME=FILE.pub"
    return
  fi
  mode_within R13 600 "$recovery_keys"
  form="restrict,command=\"/usr/local/sbin/gatehouse-recover [a-z0-9-]+\" ($key_types) [A-Za-z0-9+/=]+( .*)?"
  bad=$(grep -Evn '^(#.*)?$' "$recovery_keys" | grep -Evc "^[0-9]+:$form\$" || :)
  [ "$bad" = 0 ] || finding R13 "$bad recovery keys may do more than recover" "each line: restrict,command=\"/usr/local/sbin/gatehouse-recover NAME\" KEY"
}

check_backups() {
  folder=$root/opt/k8s-backups
  if [ ! -d "$folder" ]; then
    finding R2 "/opt/k8s-backups is missing" "install.sh install"
    return
  fi
  mode_within R2 700 "$folder"
  if ! states=$(sh "$here/gatehouse-recover" ${root:+--root "$root"} --local sets); then
    finding R2 "the backup sets cannot be looked at" "gatehouse-recover --local status"
    return
  fi
  newest=$(echo "$states" | head -n 1)
  case "$newest" in
    '') finding R2 "there is no backup set" "keep what is applied: gatehouse-keep" ;;
    *' whole')
      set=$folder/${newest% whole}
      [ -z "$(find "$set/SHA256SUMS" -mtime +35)" ] ||
        finding R2 "the newest backup set is older than 35 days" "keep what is applied: gatehouse-keep"
      [ "$(readlink "$folder/current")" = "${newest% whole}" ] || [ "$(readlink -f "$folder/current")" = "$(readlink -f "$set")" ] ||
        finding R2 "current does not lead to the newest backup set" "ln -sfn ${newest% whole} /opt/k8s-backups/current" ;;
    *) finding R2 "the newest backup set, $newest" "keep what is applied anew: gatehouse-keep; recovery takes the one before" ;;
  esac
}

check() {
  check_shipped
  check_config
  check_encryption
  check_kernel
  check_certificates
  check_copies
  check_units
  check_ssh
  check_backups
  check_modes
  if [ "$findings" = 0 ]; then echo "nothing found" >&2; else echo "found: $findings" >&2; fi
  [ "$findings" = 0 ]
}
