// SPDX-License-Identifier: Apache-2.0

// Graylog's own reader of GELF datagrams: prints what it understood, a line of JSON for each
// message. "gelf_reader ADDRESS:PORT" ends when it is killed; "listening" is its first line.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/Graylog2/go-gelf/gelf"
)

func main() {
	reader, err := gelf.NewReader(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening")
	for {
		message, err := reader.ReadMessage()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		line, err := json.Marshal(map[string]interface{}{
			"version": message.Version, "host": message.Host, "short": message.Short,
			"full": message.Full, "time": message.TimeUnix, "level": message.Level,
			"facility": message.Facility, "extra": message.Extra})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		fmt.Println(string(line))
	}
}
