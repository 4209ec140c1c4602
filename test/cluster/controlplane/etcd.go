package main

import (
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// etcd is a single member without durability: a test cluster's data go with it.
func etcd() *cobra.Command {
	var folder, client string
	command := &cobra.Command{Use: "etcd", SilenceUsage: true, RunE: func(*cobra.Command, []string) error {
		address, err := url.Parse(client)
		if err != nil {
			return err
		}
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)

		// No other member ever calls; any free port will do.
		peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
		config := embed.NewConfig()
		config.Dir = folder
		config.UnsafeNoFsync = true
		config.LogLevel = "warn"
		config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*address}, []url.URL{*address}
		config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		config.InitialCluster = config.InitialClusterFromName(config.Name)
		server, err := embed.StartEtcd(config)
		if err != nil {
			return err
		}
		defer server.Close()
		select {
		case <-stop:
			return nil
		case err := <-server.Err():
			return err
		}
	}}
	command.Flags().StringVar(&folder, "data-dir", "", "folder for the data")
	command.Flags().StringVar(&client, "listen-client-url", "", "URL to serve clients on")
	return command
}
