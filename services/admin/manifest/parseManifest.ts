/** A manifest's text as the objects that will be sent: parsed once, as kubectl reads it, refusing whatever two parsers read differently. Pure. */
import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  parseAllDocuments,
  type ParsedNode,
  type Scalar,
  type YAMLMap
} from "yaml"
import { Result } from "effect"
import type { InputFault } from "#shared/domain/errors.ts"
import { isFields } from "#shared/kubernetes/fields.ts"
import { ManifestRefused, TooManyObjects } from "../writeRefusals.ts"
import { readPlain } from "./scalars.ts"

/** A JSON object of a manifest. */
export type Tree = { readonly [key: string]: unknown }

/** One object with the line it starts at, from 1. */
export interface Parsed {
  readonly tree: Tree
  readonly line: number
}

/** Objects that one plan takes. */
export const maxObjects = 100
/** Values that aliases may make of a document: an alias bomb has more. */
const maxValues = 100_000
/** Levels of nesting. */
const maxDepth = 64
const maxFaults = 20
/** Tokens of a text, some seven for each value that `maxValues` allows: a tree of more takes seconds to make, and is refused then. */
const maxTokens = 700_000

const tooManyTokens = (text: string): boolean => {
  let tokens = 0
  for (const _ of new Lexer().lex(text)) {
    tokens += 1
    if (tokens > maxTokens) return true
  }
  return false
}

class Refused extends Error {
  readonly fault: InputFault
  constructor(fault: InputFault) {
    super(fault.detail)
    this.fault = fault
  }
}

/** Explicit tags that say no more than the text does; `!!str` makes a plain scalar text. */
const tags: ReadonlySet<string> = new Set(["tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"])

const makeReader = (lines: LineCounter) => {
  let values = 0
  const anchors = new Map<string, Node>()
  const lineOf = (node: { readonly range?: readonly [number, number, number] | null | undefined }) =>
    lines.linePos(node.range?.[0] ?? 0).line
  const refuse = (node: Node, pointer: string, code: string, detail: string): never => {
    throw new Refused({ pointer, detail, code, line: lineOf(node) })
  }

  const scalar = (node: Scalar, pointer: string) => {
    const text = typeof node.value === "string" ? node.value : ""
    if (text.includes("\0") || !text.isWellFormed()) {
      return refuse(node, pointer, "bad_text", "text may hold neither NUL nor half a character")
    }
    if (node.type !== "PLAIN" || node.tag === "tag:yaml.org,2002:str") return text
    const reading = readPlain(text)
    switch (reading._tag) {
      case "Value":
        return reading.value
      case "Ambiguous":
        return refuse(
          node,
          pointer,
          "ambiguous_scalar",
          `kubectl reads this as ${reading.kubectl}, YAML 1.2 as ${reading.plain}: quote it, or write what is meant`
        )
      case "TooLarge":
        return refuse(node, pointer, "number_too_large", "a number beyond 2^53 loses digits: quote it if it is text")
      case "NotANumber":
        return refuse(node, pointer, "not_json", "infinity and not-a-number have no place in an object")
    }
  }

  /** kubectl makes text of a key; a number or a truth value that is not written as it would be is ambiguous. */
  const keyOf = (node: unknown, pointer: string, holder: Node): string => {
    if (!isScalar(node)) return refuse(holder, pointer, "bad_key", "a key must be text")
    const value = scalar(node, pointer)
    if (value === null) return refuse(node, pointer, "bad_key", "a key must be text")
    if (typeof value !== "string" && String(value) !== node.source) {
      return refuse(node, pointer, "ambiguous_scalar", `as a key this is "${String(value)}" to kubectl: quote it`)
    }
    return String(value)
  }

  const escaped = (key: string) => key.replaceAll("~", "~0").replaceAll("/", "~1")

  const map = (node: YAMLMap, pointer: string, depth: number, within: ReadonlyArray<Node>): Tree => {
    const own = new Map<string, unknown>()
    const merged = new Map<string, unknown>()
    let merges = 0
    for (const { key, value } of node.items) {
      const merge = isScalar(key) && key.type === "PLAIN" && key.value === "<<" && key.tag === undefined
      if (merge) {
        merges += 1
        if (merges > 1) return refuse(key, pointer, "duplicate_key", `"<<" stands twice`)
        const sources = isSeq(value) ? value.items : [value]
        for (const source of sources) {
          const found = valueOf(source, pointer, depth + 1, within, node)
          if (!isFields(found)) return refuse(node, pointer, "bad_merge", "<< takes a map or a list of maps")
          for (const [name, one] of Object.entries(found)) if (!merged.has(name)) merged.set(name, one)
        }
        continue
      }
      const name = keyOf(key, pointer, node)
      if (name === "__proto__") return refuse(node, pointer, "bad_key", "__proto__ is no field of an object")
      if (own.has(name)) return refuse(isScalar(key) ? key : node, pointer, "duplicate_key", `"${name}" stands twice`)
      own.set(name, valueOf(value, `${pointer}/${escaped(name)}`, depth + 1, within, node))
    }
    return Object.fromEntries([...[...merged].filter(([name]) => !own.has(name)), ...own])
  }

  const valueOf = (
    node: unknown,
    pointer: string,
    depth: number,
    within: ReadonlyArray<Node>,
    holder: Node
  ): unknown => {
    values += 1
    // In the order of the text, as an alias means the last anchor before it; its own library function reads the whole document.
    if (isNode(node) && !isAlias(node) && node.anchor !== undefined) anchors.set(node.anchor, node)
    if (values > maxValues) return refuse(holder, pointer, "alias_limit", "the document's aliases make too much of it")
    if (depth > maxDepth) return refuse(holder, pointer, "too_deep", `nested deeper than ${maxDepth} levels`)
    if (node === null || node === undefined) return null
    if (isAlias(node)) {
      const target = anchors.get(node.source)
      if (target === undefined) return refuse(node, pointer, "unknown_alias", `there is no anchor ${node.source}`)
      if (within.includes(target)) return refuse(node, pointer, "alias_limit", `the alias ${node.source} holds itself`)
      return valueOf(target, pointer, depth, within, holder)
    }
    if (!isScalar(node) && !isMap(node) && !isSeq(node)) return refuse(holder, pointer, "syntax", "not a value")
    if (node.tag !== undefined && !tags.has(node.tag)) {
      return refuse(node, pointer, "custom_tag", `the tag ${node.tag.slice(0, 60)} is not taken`)
    }
    if (isScalar(node)) return scalar(node, pointer)
    const inner = [...within, node]
    if (isMap(node)) return map(node, pointer, depth, inner)
    return node.items.map((item, index) => valueOf(item, `${pointer}/${index}`, depth + 1, inner, node))
  }
  return { lineOf, valueOf }
}

/** A document with a Secret in it, also within a list. */
const mentionsSecret = /\bSecret\b/u

/** What is wrong, without the text that is. */
const quiet: Readonly<Record<string, string>> = {
  syntax: "this is no YAML",
  ambiguous_scalar: "kubectl and YAML 1.2 read this differently: quote it",
  number_too_large: "a number beyond 2^53 loses digits: quote it if it is text",
  custom_tag: "a tag is not taken: quote what starts with !",
  unknown_alias: "there is no such anchor: quote what starts with *",
  alias_limit: "the document's aliases make too much of it",
  duplicate_key: "a key stands twice",
  bad_key: "a key must be text",
  bad_merge: "<< takes a map or a list of maps",
  bad_text: "text may hold neither NUL nor half a character",
  too_deep: "nested too deeply",
  not_an_object: "expected an object"
}

/** A `List` as kubectl takes it apart; lists within lists too. */
const flattened = ({ line, tree }: Parsed): ReadonlyArray<Parsed> => {
  const { items, kind } = tree
  if (typeof kind !== "string" || !kind.endsWith("List") || !Array.isArray(items)) return [{ tree, line }]
  return items.flatMap((item: unknown) => flattened({ tree: isFields(item) ? item : { item }, line }))
}

/** What kubectl's reader takes nowhere: control characters, and a byte order mark after the start. */
const untaken = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f\ufffe\uffff]|(?<!^)\ufeff/u

/** The objects of a YAML or JSON text, in order; every fault with its line. */
export const parseManifest = (text: string): Result.Result<ReadonlyArray<Parsed>, ManifestRefused | TooManyObjects> => {
  const lines = new LineCounter()
  const faults: Array<InputFault> = []
  const found: Array<Parsed> = []
  const strange = untaken.exec(text)
  if (strange !== null) {
    const line = text.slice(0, strange.index).split("\n").length
    const detail = "a control character, or a byte order mark in the middle: write it as an escape in quotes"
    return Result.fail(
      new ManifestRefused({ code: "bad_text", errors: [{ pointer: "/manifest", code: "bad_text", detail, line }] })
    )
  }
  if (tooManyTokens(text)) {
    const errors = [{ pointer: "/manifest", code: "too_many_values", detail: "the manifest holds too many values" }]
    return Result.fail(new ManifestRefused({ code: "too_many_values", errors }))
  }
  const documents = parseAllDocuments<ParsedNode>(text, {
    version: "1.2",
    schema: "failsafe",
    merge: false,
    // Looked for below: the library compares each key with every other one of its map, which takes minutes for one megabyte.
    uniqueKeys: false,
    lineCounter: lines,
    prettyErrors: false,
    logLevel: "silent"
  })
  for (const [number, document] of (Array.isArray(documents) ? documents : []).entries()) {
    const index = found.length
    const pointer = `/objects/${index}`
    // What is wrong with a Secret may be its value: an unquoted password that starts with `!` reads as a tag.
    const secret = mentionsSecret.test(text.slice(document.range[0], document.range[2]))
    const told = (fault: InputFault): InputFault =>
      secret ? { ...fault, detail: quiet[fault.code ?? ""] ?? "this is not acceptable" } : fault
    const fault = (code: string, detail: string, line: number) => faults.push(told({ pointer, code, detail, line }))
    for (const error of document.errors) {
      fault("syntax", error.message.split("\n")[0]!.slice(0, 200), lines.linePos(error.pos[0]).line)
    }
    if (document.errors.length > 0) continue
    if (document.directives.yaml.explicit === true || Object.keys(document.directives.tags).length > 1) {
      fault("directive", "directives such as %YAML and %TAG are not taken", 1)
      continue
    }
    const { contents } = document
    if (number > 0 && document.directives.docStart !== true && contents !== null) {
      fault(
        "document_end",
        'kubectl reads no more after "...": begin the next document with ---',
        lines.linePos(contents.range[0]).line
      )
      continue
    }
    // Nothing between two lines of dashes.
    if (contents === null || (isScalar(contents) && contents.value === "" && contents.type === "PLAIN")) continue
    const reader = makeReader(lines)
    try {
      const tree = reader.valueOf(contents, pointer, 0, [], contents)
      if (!isFields(tree)) fault("not_an_object", "expected an object", reader.lineOf(contents))
      else found.push(...flattened({ tree, line: reader.lineOf(contents) }))
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      faults.push(told(error.fault))
    }
  }
  if (faults.length > 0) {
    return Result.fail(new ManifestRefused({ code: faults[0]!.code ?? "syntax", errors: faults.slice(0, maxFaults) }))
  }
  if (found.length > maxObjects) return Result.fail(new TooManyObjects({ limit: maxObjects }))
  if (found.length === 0) {
    const errors = [{ pointer: "/manifest", code: "no_objects", detail: "no objects passed to apply" }]
    return Result.fail(new ManifestRefused({ code: "no_objects", errors }))
  }
  return Result.succeed(found)
}
