// Command supervisor owns every process of one test cluster and takes orders over HTTP on a unix socket in the cluster's folder.
// It ends when its standard input does, so also when its parent is killed, and takes all it started, its cgroups, mounts and folder with it.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	folder := flag.String("folder", "", "the cluster's folder: holds the socket, removed at the end")
	cgroup := flag.String("cgroup", "", "name of the cluster's own cgroup below each hierarchy, removed at the end")
	namespaced := flag.Bool("namespaced", false, "runs as process 1 of its own process, mount and network namespaces")
	flag.Parse()
	if err := run(*folder, *cgroup, *namespaced); err != nil {
		fmt.Fprintln(os.Stderr, "supervisor:", err)
		os.Exit(1)
	}
}

func run(folder, cgroup string, namespaced bool) error {
	if folder == "" {
		return errors.New("--folder is needed")
	}
	if namespaced && os.Getpid() != 1 {
		return errors.New("--namespaced is for process 1 of a namespace")
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		end <- syscall.SIGTERM
	}()

	listener, err := net.Listen("unix", filepath.Join(folder, "control.sock"))
	if err != nil {
		return err
	}
	processes := newProcesses(namespaced)
	server := &http.Server{Handler: routes(processes)}
	go server.Serve(listener)
	fmt.Println("ready")

	<-end
	server.Close()
	processes.killAll()
	return errors.Join(removeCgroups(cgroup), removeFolder(folder, namespaced))
}

// order makes an HTTP handler of a function from a JSON body to a JSON answer; its errors answer 409 as text.
func order[In, Out any](work func(In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out, err := work(in)
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.Header().Set("content-type", "application/json")
		json.NewEncoder(w).Encode(out)
	}
}

func routes(processes *processes) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /start", order(processes.start))
	mux.Handle("POST /stop", order(processes.stop))
	mux.Handle("POST /signal", order(processes.signal))
	mux.Handle("POST /state", order(processes.state))
	mux.Handle("POST /run", order(processes.run))
	mux.Handle("POST /relay", order(relay))
	mux.Handle("POST /certificates", order(issue))
	return mux
}
