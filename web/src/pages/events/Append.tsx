// An event by hand: the rare one that no program appended, with the version that the stream must have.
import { useState } from "react";
import { act } from "../../api/client";
import type { Appended } from "../../api/log";
import { Field, Form, JsonField, parsed, ReasonField } from "../../kit/Form";
import { notify } from "../../kit/Notices";
import { text } from "../../text";

const words = text.events.append;

/** "any", "none" or a number, as the API takes it; null: it is none of these. */
function versionOf(typed: string): string | number | null {
  const word = typed.trim().toLowerCase();
  if (word === "" || word === "any") return "any";
  if (word === "none") return "none";
  return /^[0-9]{1,15}$/.test(word) ? Number(word) : null;
}

export function AppendForm({ stream: given, onClose }: { stream: string; onClose: () => void }) {
  const [stream, setStream] = useState(given);
  const [type, setType] = useState("");
  const [data, setData] = useState("{}");
  const [tags, setTags] = useState("");
  const [expected, setExpected] = useState("");
  const [reason, setReason] = useState("");
  const value = parsed(data);
  const version = versionOf(expected);
  return (
    <Form
      title={words.title}
      submit={words.submit}
      onClose={onClose}
      isReady={stream.trim() !== "" && type.trim() !== "" && value !== null && version !== null}
      onSubmit={async () => {
        const made = await act<Appended>("/events", {
          stream,
          events: [
            {
              type,
              data: value?.value,
              tags: tags
                .split(",")
                .map((tag) => tag.trim())
                .filter(Boolean),
            },
          ],
          expected_version: version,
          reason: reason.trim() || null,
        });
        notify(words.done(made.stream, String(made.versions[0])));
      }}
    >
      <p className="quiet">{words.about}</p>
      <Field label={text.events.stream} value={stream} onChange={setStream} focus={given === ""} mono required />
      <Field label={text.events.type} value={type} onChange={setType} focus={given !== ""} mono required />
      <JsonField label={words.data} value={data} onChange={setData} />
      <Field label={words.tags} value={tags} onChange={setTags} />
      <Field
        label={words.expected}
        value={expected}
        onChange={setExpected}
        hint={version === null ? words.noVersion : words.expectedHint}
      />
      <ReasonField value={reason} onChange={setReason} />
    </Form>
  );
}
