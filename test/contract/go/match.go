package main

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type object = map[string]any

// What is not there; nil is JSON's null.
var absent any = struct{}{}

// Panics with the place where a value does not match a pattern. Without `saved` there are no matchers: all must be equal.
func check(path string, pattern, value any, saved object) {
	wanted, wantsList := partsOf(pattern)
	there, isList := partsOf(value)
	matches := wantsList == isList && (wanted == nil) == (there == nil) && (wanted != nil || pattern == value)
	number, isNumber := pattern.(float64)
	if other, isOther := value.(float64); isNumber && isOther { // Libraries print a float in their own ways.
		matches = math.Abs(number-other) <= 1e-7*max(math.Abs(number), math.Abs(other))
	} else if isList || saved == nil {
		matches = matches && len(wanted) == len(there)
	}
	for name, part := range wanted {
		if found, isThere := there[name]; saved != nil && strings.HasPrefix(name, "$") {
			matches = matcher(name, part, value, saved)
		} else if matches && isThere {
			check(path+"."+name, part, found, saved)
		} else if matches {
			check(path+"."+name, part, absent, saved)
		}
	}
	if !matches {
		fail("%s: expected %.400s, got %.400s", path, print(pattern), print(value))
	}
}

// The parts of an object, or of a list by their numbers; nil of anything else.
func partsOf(value any) (parts object, isList bool) {
	parts, _ = value.(object)
	list, isList := value.([]any)
	if isList {
		parts = object{}
	}
	for at, part := range list {
		parts[strconv.Itoa(at)] = part
	}
	return parts, isList
}

func matcher(name string, given, value any, saved object) bool {
	list, isList := value.([]any)
	fields, isObject := value.(object)
	matches := func(part any) bool { return try(func() { check("", given, part, saved) }) == nil }
	switch name {
	case "$equal", "$not":
		return value != absent && (try(func() { check("", given, value, nil) }) != nil) == (name == "$not")
	case "$count":
		return (isList || isObject) && given == any(float64(len(list)+len(fields)))
	case "$bytes":
		return given == any(float64(len(decode(value.(string)))))
	case "$each":
		return isList && !slices.ContainsFunc(list, func(part any) bool { return !matches(part) })
	case "$some":
		return slices.ContainsFunc(list, matches)
	case "$save":
		saved[given.(string)] = value
	}
	return (value == absent) == (name == "$absent")
}

var places = regexp.MustCompile(`\{\s*"\$(zeros|text|var)":\s*"?([^"}\s]*)"?\s*\}`)

// A step with what the case saved, zeros and long texts in their places.
func fill(step []byte, saved object) []byte {
	return places.ReplaceAllFunc(step, func(place []byte) []byte {
		found := places.FindStringSubmatch(string(place))
		size, _ := strconv.Atoi(found[2])
		by := object{"zeros": make([]byte, size), "text": strings.Repeat("a", size), "var": saved[found[2]]}
		return []byte(print(by[found[1]]))
	})
}

// The values at a path of names, in order; a list on the way stands for all its parts.
func valuesAt(value any, names []string) []any {
	found := []any{}
	if list, isList := value.([]any); isList {
		for _, part := range list {
			found = append(found, valuesAt(part, names)...)
		}
	} else if len(names) == 0 {
		found = append(found, value)
	} else if parts, _ := partsOf(value); parts[names[0]] != nil {
		found = valuesAt(parts[names[0]], names[1:])
	}
	return found
}
