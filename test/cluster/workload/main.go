// Command workload is what the tests' pods run: a server that is well, one that crashes, one that never gets ready,
// a client for connections and names, and the pause that holds a pod's namespaces. Static, so that its image is one file.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: workload MODE [ARGUMENT ...]     (WORKLOAD_MODE in place of MODE)
  serve             listen on :8080 (WORKLOAD_LISTEN), answer 200 at /livez and /readyz
  crash             log what is wrong, then exit with code 3
  never-ready       like serve, but /readyz answers 503
  dial HOST:PORT    connect by TCP within 2 s: exit 0 connected, 1 refused, 2 timed out, 3 otherwise
  get URL           print the answer's body: exit 0 for a 2xx
  resolve NAME      print the name's addresses
  pause             do nothing until told to end
`

func main() {
	args := os.Args[1:]
	if mode := os.Getenv("WORKLOAD_MODE"); mode != "" {
		args = append([]string{mode}, args...)
	}
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(64)
	}
	os.Exit(run(args[0], args[1:]))
}

func run(mode string, args []string) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	switch {
	case mode == "serve":
		return serve(stop, true)
	case mode == "never-ready":
		return serve(stop, false)
	case mode == "crash":
		return crash(stop)
	case mode == "dial" && len(args) == 1:
		return dial(args[0])
	case mode == "get" && len(args) == 1:
		return get(args[0])
	case mode == "resolve" && len(args) == 1:
		return resolve(args[0])
	case mode == "pause":
		<-stop
		return 0
	}
	fmt.Fprint(os.Stderr, usage)
	return 64
}

func serve(stop <-chan os.Signal, ready bool) int {
	listen := os.Getenv("WORKLOAD_LISTEN")
	if listen == "" {
		listen = ":8080"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready {
			http.Error(w, "waiting for what never comes", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		host, _ := os.Hostname()
		fmt.Fprintf(w, "%s %s\n", host, r.URL.Path)
	})
	server := &http.Server{Addr: listen, Handler: mux}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	fmt.Println("workload: listening on", listen)
	select {
	case err := <-failed:
		fmt.Fprintln(os.Stderr, "workload:", err)
		return 1
	case <-stop:
		fmt.Println("workload: stopping")
		ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(ending)
		return 0
	}
}

func crash(stop <-chan os.Signal) int {
	fmt.Println("workload: starting")
	fmt.Println("workload: reading /etc/workload/config.yaml")
	fmt.Fprintln(os.Stderr, "fatal: cannot open configuration: /etc/workload/config.yaml: no such file or directory")
	fmt.Fprintln(os.Stderr, "workload: giving up")
	select {
	case <-time.After(300 * time.Millisecond):
	case <-stop:
	}
	return 3
}

func dial(address string) int {
	conn, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err == nil {
		conn.Close()
		fmt.Println("connected")
		return 0
	}
	fmt.Println(err)
	switch timeout, ok := err.(net.Error); {
	case strings.Contains(err.Error(), "connection refused"):
		return 1
	case ok && timeout.Timeout():
		return 2
	}
	return 3
}

func get(url string) int {
	client := http.Client{Timeout: 3 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil || answer.StatusCode/100 != 2 {
		return 1
	}
	return 0
}

func resolve(name string) int {
	limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(limit, name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, address := range addresses {
		fmt.Println(address)
	}
	return 0
}
