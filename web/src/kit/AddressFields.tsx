// What a list is narrowed to by exact values, each with an index of its own: fields of the address, applied together.
import { Search, X } from "lucide-react";
import { type FormEvent, useId, useState } from "react";
import { useSearchParams } from "wouter";
import { text } from "../text";
import { Button } from "./Button";

/** Parameters of the address and what they are called: `<AddressFields of={[["stream", "Stream"]]} />`. */
export function AddressFields({ of }: { of: [string, string][] }) {
  const [search, setSearch] = useSearchParams();
  const applied = of.map(([name]) => search.get(name) ?? "");
  const apply = (values: string[]) =>
    setSearch((before) => {
      const after = new URLSearchParams(before);
      // Another choice starts at the first page.
      after.delete("cursor");
      of.forEach(([name], index) => {
        if (values[index]) after.set(name, values[index]);
        else after.delete(name);
      });
      return after;
    });
  // Anew when the address changes by itself: Back shows what was applied then.
  return <Fields key={applied.join("\n")} of={of} applied={applied} onApply={apply} />;
}

interface FieldsProps {
  of: [string, string][];
  applied: string[];
  onApply: (values: string[]) => void;
}

function Fields({ of, applied, onApply }: FieldsProps) {
  const [values, setValues] = useState(applied);
  const id = useId();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onApply(values.map((value) => value.trim()));
  };
  return (
    <search>
      <form className="address-fields" onSubmit={submit}>
        {of.map(([name, label], index) => (
          <div className="field" key={name}>
            <label htmlFor={`${id}-${name}`}>{label}</label>
            <input
              id={`${id}-${name}`}
              className="input mono"
              autoComplete="off"
              value={values[index]}
              onChange={(event) => setValues(values.with(index, event.target.value))}
            />
          </div>
        ))}
        <Button type="submit" icon={Search}>
          {text.lists.filterApply}
        </Button>
        {applied.some((value) => value !== "") && (
          <Button kind="bare" icon={X} onPress={() => onApply(applied.map(() => ""))}>
            {text.lists.filterClear}
          </Button>
        )}
      </form>
    </search>
  );
}
