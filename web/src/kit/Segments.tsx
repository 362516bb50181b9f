interface SegmentsProps {
  label: string;
  value: string;
  options: [string, string][];
  onChange: (value: string) => void;
}

/** One of a few. */
export function Segments({ label, value, options, onChange }: SegmentsProps) {
  return (
    <fieldset className="segments" aria-label={label}>
      {options.map(([option, name]) => (
        <button
          key={option}
          type="button"
          aria-pressed={option === value}
          data-selected={option === value || undefined}
          onClick={() => onChange(option)}
        >
          {name}
        </button>
      ))}
    </fieldset>
  );
}
