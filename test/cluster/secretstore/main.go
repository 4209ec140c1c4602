// A KV v2 server for tests: core, HTTP API, KV engine and Kubernetes login of Vault over memory, on a loopback port with TLS. It
// tells where it listens, its root token and its unseal key in one line, and ends when its standard input does.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"

	"github.com/hashicorp/go-hclog"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// builtin says of the two plugins that are part of this program that they are; there is no other.
type builtin struct{}

func (builtin) Contains(name string, kind consts.PluginType) bool {
	return name == "kv" && kind == consts.PluginTypeSecrets ||
		name == "kubernetes" && kind == consts.PluginTypeCredential
}

func (builtin) Get(string, consts.PluginType) (func() (interface{}, error), bool) { return nil, false }

func (builtin) Keys(kind consts.PluginType) []string {
	switch kind {
	case consts.PluginTypeSecrets:
		return []string{"kv"}
	case consts.PluginTypeCredential:
		return []string{"kubernetes"}
	}
	return nil
}

func (b builtin) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, b.Contains(name, kind)
}

func (builtin) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func start() (*vault.Core, map[string]string, error) {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, nil, err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		StorageType:        "inmem",
		Logger:             logger,
		DisableMlock:       true,
		BuiltinRegistry:    builtin{},
		LogicalBackends:    map[string]logical.Factory{"kv": kv.Factory},
		CredentialBackends: map[string]logical.Factory{"kubernetes": kubernetes.Factory},
	})
	if err != nil {
		return nil, nil, err
	}
	one := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := core.Initialize(context.Background(), &vault.InitParams{BarrierConfig: one})
	if err != nil {
		return nil, nil, err
	}
	key := made.SecretShares[0]
	if opened, err := core.Unseal(slices.Clone(key)); err != nil || !opened {
		return nil, nil, fmt.Errorf("not unsealed: %w", errors.Join(err))
	}
	return core, map[string]string{
		"rootToken": made.RootToken,
		"unsealKey": base64.StdEncoding.EncodeToString(key),
	}, nil
}

func run() error {
	address := flag.String("listen", "127.0.0.1:0", "where to listen")
	certificate := flag.String("cert", "", "PEM file of the server's certificate")
	key := flag.String("key", "", "PEM file of its key")
	flag.Parse()
	core, told, err := start()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	told["address"] = "https://" + listener.Addr().String()
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core:           core,
		ListenerConfig: &configutil.Listener{Address: listener.Addr().String()},
	})
	failed := make(chan error, 1)
	go func() { failed <- http.ServeTLS(listener, handler, *certificate, *key) }()
	line, err := json.Marshal(told)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return <-failed
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
