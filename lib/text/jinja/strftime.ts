const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July"],
  ...["August", "September", "October", "November", "December"],
];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** Python's `strftime` in the C locale, in the time zone of the process. */
export function strftime(date: Date, format: string): string {
  const two = (number: number): string => String(number).padStart(2, "0");
  const month = MONTHS[date.getMonth()] ?? "";
  const day = DAYS[date.getDay()] ?? "";
  const hour = date.getHours() % 12 || 12;
  const dayOfYear =
    Math.round(
      (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) / 86_400_000,
    ) + 1;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const parts: Readonly<Record<string, string>> = {
    a: day.slice(0, 3),
    A: day,
    b: month.slice(0, 3),
    B: month,
    c: `${day.slice(0, 3)} ${month.slice(0, 3)} ${String(date.getDate()).padStart(2)} ${clock} ${date.getFullYear()}`,
    d: two(date.getDate()),
    e: String(date.getDate()).padStart(2),
    f: String(date.getMilliseconds() * 1000).padStart(6, "0"),
    F: `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`,
    H: two(date.getHours()),
    I: two(hour),
    j: String(dayOfYear).padStart(3, "0"),
    m: two(date.getMonth() + 1),
    M: two(date.getMinutes()),
    n: "\n",
    p: date.getHours() < 12 ? "AM" : "PM",
    R: `${two(date.getHours())}:${two(date.getMinutes())}`,
    S: two(date.getSeconds()),
    t: "\t",
    T: clock,
    U: two(Math.floor((dayOfYear + 6 - date.getDay()) / 7)),
    u: String(date.getDay() || 7),
    W: two(Math.floor((dayOfYear + 6 - ((date.getDay() + 6) % 7)) / 7)),
    w: String(date.getDay()),
    x: `${two(date.getMonth() + 1)}/${two(date.getDate())}/${two(date.getFullYear() % 100)}`,
    X: clock,
    y: two(date.getFullYear() % 100),
    Y: String(date.getFullYear()),
    z: "",
    Z: "",
    "%": "%",
  };
  // A hyphen leaves out the zero in front.
  return format.replace(/%(-?)([\s\S])/g, (whole, hyphen: string, name: string) => {
    const part = parts[name];
    // What it does not know stays as it is.
    if (part === undefined) return whole;
    return hyphen ? part.replace(/^[0 ]+(?=\d)/, "") : part;
  });
}
