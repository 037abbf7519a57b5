package main

// All that was generated: it is found again by its full names.
import (
	_ "example.com/stator/stubs/inference"
	_ "example.com/stator/stubs/openengine/v1"
	_ "example.com/stator/stubs/stator/common/v1"
	_ "example.com/stator/stubs/stator/discovery/v1"
	_ "example.com/stator/stubs/stator/frontend/v1"
	_ "example.com/stator/stubs/stator/router/v1"
	_ "example.com/stator/stubs/stator/worker/v1"
)
