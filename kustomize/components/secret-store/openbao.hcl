# One server on one volume. It opens itself with the key in a file, so that a reboot seals nothing for good.
ui = false

listener "tcp" {
  address         = "[::]:8200"
  cluster_address = "127.0.0.1:8201"
  tls_cert_file   = "/run/secrets/tls/tls.crt"
  tls_key_file    = "/run/secrets/tls/tls.key"
  tls_min_version = "tls12"
}

storage "raft" {
  path    = "/var/lib/openbao"
  node_id = "secret-store-0"
}

seal "static" {
  current_key_id = "1"
  current_key    = "file:///run/secrets/seal/key"
}

api_addr     = "https://secret-store:8200"
cluster_addr = "https://127.0.0.1:8201"
