// OpenBao's own command, `bao`: server and client in one, as its project releases it but for the web interface and the clouds' key
// services (without/). With BAO_ENDS_WITH_STDIN set it ends when its standard input does, as who started it then has too.
package main

import (
	"io"
	"os"

	"github.com/openbao/openbao/command"
)

func main() {
	if os.Getenv("BAO_ENDS_WITH_STDIN") != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	os.Exit(command.Run(os.Args[1:]))
}
