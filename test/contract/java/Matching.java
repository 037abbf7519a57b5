import java.util.*;
import java.util.stream.IntStream;

/** Compares with patterns, and keeps what a case saves. A value is null when it is not there. */
final class Matching {
  /** Libraries print a float with as many digits as they like: numbers this close, as a share, are equal. */
  private static final double CLOSE = 1e-7;

  private final Map<String, Object> saved = new HashMap<>();

  /** Fails where a value does not match a pattern, with the path to the place. */
  void check(String path, Object pattern, Object value) {
    Map<?, ?> fields = pattern instanceof Map<?, ?> map ? map : Map.of();
    String key = fields.isEmpty() ? "" : (String) fields.keySet().iterator().next();
    Object given = fields.get(key);
    boolean isMatch =
        switch (key.startsWith("$") ? key : "") {
          case "$absent" -> value == null;
          case "$present" -> value != null;
          case "$equal" -> value != null && equal(given, value);
          case "$not" -> value != null && !equal(given, value);
          case "$count" -> given.equals((double) partsOf(value).size());
          case "$bytes" -> value != null && given.equals((double) Stubs.decode(value).size());
          case "$some" -> partsOf(value).stream().anyMatch(part -> matches(given, part));
          case "$each" ->
              value instanceof List<?> parts && checkAll(path, Collections.nCopies(parts.size(), given), parts);
          case "$save" -> value != null && value == saved.merge((String) given, value, (old, now) -> now);
          case "" -> compareParts(path, pattern, value);
          default -> false;
        };
    if (!isMatch) throw new IllegalStateException(path + ": expected " + cut(pattern) + ", got " + cut(value));
  }

  boolean matches(Object pattern, Object value) {
    try {
      check("", pattern, value);
      return true;
    } catch (IllegalStateException differs) {
      return false;
    }
  }

  private boolean compareParts(String path, Object pattern, Object value) {
    if (pattern instanceof List<?> parts && value instanceof List<?> values) return checkAll(path, parts, values);
    if (!(pattern instanceof Map<?, ?> fields) || !(value instanceof Map<?, ?> values)) return equal(pattern, value);
    fields.forEach((name, part) -> check(path + "." + name, part, values.get(name)));
    return true;
  }

  private boolean checkAll(String path, List<?> patterns, List<?> values) {
    for (int at = 0; at < values.size() && at < patterns.size(); at++)
      check(path + "[" + at + "]", patterns.get(at), values.get(at));
    return patterns.size() == values.size();
  }

  /** A step with what the case saved, zeros and long texts in their places. */
  Object fill(Object value) {
    if (value instanceof List<?> parts) return parts.stream().map(this::fill).toList();
    if (!(value instanceof Map<?, ?> fields)) return value;
    if (fields.get("$zeros") instanceof Double count) return Stubs.encode(new byte[count.intValue()]);
    if (fields.get("$text") instanceof Double count) return "a".repeat(count.intValue());
    if (fields.get("$var") instanceof String name) return saved.get(name);
    Map<Object, Object> filled = new LinkedHashMap<>();
    fields.forEach((name, part) -> filled.put(name, fill(part)));
    return filled;
  }

  /** The values at a path of names with dots between them, in order; a list on the way stands for all its parts. */
  static List<?> valuesAt(List<?> messages, String path) {
    List<?> found = messages;
    for (String name : path.split("\\.")) {
      var parts = found.stream().filter(value -> value instanceof Map<?, ?> fields && fields.containsKey(name));
      found = parts.map(value -> ((Map<?, ?>) value).get(name))
          .flatMap(part -> part instanceof List<?> all ? all.stream() : List.of(part).stream())
          .toList();
    }
    return found;
  }

  private static boolean equal(Object one, Object other) {
    if (one instanceof Double a && other instanceof Double b)
      return Math.abs(a - b) <= CLOSE * Math.max(Math.abs(a), Math.abs(b));
    if (one instanceof Map<?, ?> a && other instanceof Map<?, ?> b)
      return a.keySet().equals(b.keySet()) && a.keySet().stream().allMatch(name -> equal(a.get(name), b.get(name)));
    if (!(one instanceof List<?> a) || !(other instanceof List<?> b)) return Objects.equals(one, other);
    return a.size() == b.size() && IntStream.range(0, a.size()).allMatch(at -> equal(a.get(at), b.get(at)));
  }

  private static Collection<?> partsOf(Object value) {
    if (value instanceof Map<?, ?> fields) return fields.values();
    return value instanceof List<?> parts ? parts : List.of();
  }

  private static String cut(Object value) {
    String text = String.valueOf(value);
    return text.substring(0, Math.min(400, text.length()));
  }
}
