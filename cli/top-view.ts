/**
 * What `shoal top` shows of a TopDocument: a line of numbers, then tables of nodes, volumes and
 * shards, cut to the rows and columns that there are.
 *
 *   14:03:05  3 nodes, 12 volumes, 40 shards
 *
 *   NODE  IOPS R/W   BYTES/S    P99  LOAD  SHARE      15 MIN      60 MIN    RISK
 *   eu-1  1.2k/340  30 MiB/s  2.1ms  2.5k   42 %  40..55 % =  55..81 % ^  73 % !
 *
 * What is ahead is q50..q95, of the capacity where one is known, else in units per second.
 */
import type {
  LoadDocument,
  NodeLoadDocument,
  ShardLoadDocument,
  TopDocument,
  VolumeLoadDocument
} from '../node/control/load-documents.ts'
import { fittedTable, type TableColumn } from './fitted-table.ts'
import { HIGH_CHANCE, TREND_LEAST_LOAD, TREND_PART } from './limits.ts'
import { clean, durationText, percent, plural, short, size } from './output.ts'

export const SORTS = ['load', 'iops', 'p99', 'name'] as const
export type Sort = (typeof SORTS)[number]
export const PARTS = ['nodes', 'volumes', 'shards'] as const
export type Part = (typeof PARTS)[number]

/** Before each table: a blank line and the head. */
const HEAD_LINES = 2
/** A table with fewer lines for its rows is not worth its head. */
const LEAST_LINES = 3

export interface TopView {
  readonly parts: readonly Part[]
  readonly sort: Sort
  /** Most rows of each table. */
  readonly limit: number
  readonly columns: number
  /** Lines in all; Infinity if there is no height. */
  readonly rows: number
  readonly unicode: boolean
}

/** A row of any of the tables. */
interface Row {
  readonly name: string
  readonly document: LoadDocument
  /** False if nothing is known. */
  readonly isKnown: boolean
  readonly share: number | undefined
  /** Units per second; undefined if it was never measured. */
  readonly capacity: number | undefined
  readonly place: string
  /** Of what is known; empty if it is fresh. */
  readonly age: string
}

interface Section {
  readonly head: string
  readonly placeHead: string
  readonly rows: readonly Row[]
  /** Beyond those rows. */
  readonly leftOut: number
}

export function topLines(top: TopDocument, view: TopView): string[] {
  const notes = noteLines(top)
  const tail = notes.length === 0 ? [] : ['', ...notes]
  const shown = partsThatFit(view, view.rows - 1 - tail.length)
  const sections = shown.parts.map(part => sectionOf(top, part))
  const wanted = sections.map(({ rows, leftOut }) => {
    const count = Math.min(rows.length, view.limit)
    return count + (rows.length + leftOut > count ? 1 : 0)
  })
  const heights = allot(wanted, shown.room)
  const tables = sections.flatMap((section, index) => [
    '',
    ...sectionLines(section, heights[index] ?? 0, view)
  ])
  return [headLine(top), ...tables, ...tail]
    .slice(0, view.rows)
    .map(line => line.slice(0, view.columns))
}

/** On a low screen the last ones go, so that there are rows of the others. */
function partsThatFit(
  { parts }: TopView,
  lines: number
): { readonly parts: readonly Part[]; readonly room: number } {
  for (let count = parts.length; count > 1; count--) {
    const room = lines - count * HEAD_LINES
    if (room >= count * LEAST_LINES) return { parts: parts.slice(0, count), room }
  }
  return { parts: parts.slice(0, 1), room: lines - HEAD_LINES }
}

function noteLines({ nodes, silent }: TopDocument): string[] {
  const reading = nodes.flatMap(({ node, warming }) =>
    warming === undefined ? [] : [`${node} (${warming.left} of ${plural(warming.all, 'shard')})`]
  )
  return [
    ...(reading.length === 0 ? [] : [`still reading the past: ${reading.join(', ')}`]),
    ...(silent.length === 0 ? [] : [`no answer from ${silent.join(', ')}`])
  ].map(clean)
}

function headLine({ at, nodes, volumes, shards, leftOut }: TopDocument): string {
  const counts = [
    plural(nodes.length + (leftOut?.nodes ?? 0), 'node'),
    plural(volumes.length + (leftOut?.volumes ?? 0), 'volume'),
    plural(shards.length + (leftOut?.shards ?? 0), 'shard')
  ]
  return `${new Date(at).toTimeString().slice(0, 8)}  ${counts.join(', ')}`
}

/** Lines for each: small tables whole, great ones share what is left. */
function allot(wanted: readonly number[], room: number): number[] {
  const given = wanted.map(() => 0)
  const order = wanted.map((_, index) => index)
  order.sort((a, b) => (wanted[a] ?? 0) - (wanted[b] ?? 0))
  let left = Math.max(0, room)
  for (const [rank, index] of order.entries()) {
    const share = Math.floor(left / (order.length - rank))
    const lines = Math.min(wanted[index] ?? 0, share)
    given[index] = lines
    left -= lines
  }
  return given
}

// -- rows

function sectionOf(top: TopDocument, part: Part): Section {
  const leftOut = top.leftOut?.[part] ?? 0
  if (part === 'nodes') {
    return { head: 'NODE', placeHead: 'REGION', rows: top.nodes.map(nodeRow), leftOut }
  }
  if (part === 'volumes') {
    return { head: 'VOLUME', placeHead: 'SHARDS', rows: top.volumes.map(volumeRow), leftOut }
  }
  const capacities = new Map(top.nodes.map(({ node, capacity }) => [node, capacity]))
  const rows = top.shards.map(shard => shardRow(shard, capacities.get(shard.node)))
  return { head: 'SHARD', placeHead: '', rows, leftOut }
}

function nodeRow(document: NodeLoadDocument): Row {
  const { node, isSelf, share, capacity, region } = document
  return {
    name: isSelf ? `${node} (here)` : node,
    document,
    isKnown: document.from !== 'nothing',
    share,
    capacity: effectiveCapacity(document, share, capacity),
    place: region,
    age: ageText(document)
  }
}

function ageText({ from, ageMs }: NodeLoadDocument): string {
  if (from === 'nothing') return 'unknown'
  return from === 'gossip' ? durationText(ageMs) : ''
}

function volumeRow(document: VolumeLoadDocument): Row {
  const { volume, shards } = document
  const none = { share: undefined, capacity: undefined, age: '' }
  return { name: volume, document, isKnown: true, place: String(shards), ...none }
}

/** Named as `shoal forecast` takes it. */
function shardRow(document: ShardLoadDocument, ofNode: number | undefined): Row {
  const { volume, node, share } = document
  const capacity = effectiveCapacity(document, share, ofNode)
  const name = `${volume}@${node}`
  return { name, document, isKnown: true, share, capacity, place: '', age: '' }
}

/** As its requests are now, so that what is ahead compares with the share; else as calibrated. */
function effectiveCapacity(
  { load }: LoadDocument,
  share: number | undefined,
  calibrated: number | undefined
): number | undefined {
  return share !== undefined && share > 0 && load > 0 ? load / share : calibrated
}

function ordered(rows: readonly Row[], sort: Sort): Row[] {
  const weight: Readonly<Record<Sort, (document: LoadDocument) => number>> = {
    load: document => document.load,
    iops: document => document.reads + document.writes,
    p99: document => document.p99Us,
    name: () => 0
  }
  const by = ({ isKnown, document }: Row): number => (isKnown ? weight[sort](document) : -1)
  return rows.toSorted((a, b) => by(b) - by(a) || (a.name < b.name ? -1 : 1))
}

// -- tables

function sectionLines(section: Section, height: number, view: TopView): string[] {
  const { rows, leftOut } = section
  if (rows.length === 0) return [`no ${section.head.toLowerCase()}s`]
  const wanted = Math.min(rows.length, view.limit)
  const isWhole = wanted <= height && rows.length + leftOut === wanted
  const count = isWhole ? wanted : Math.max(0, Math.min(wanted, height - 1))
  const shown = ordered(rows, view.sort).slice(0, count)
  const left = rows.length + leftOut - count
  const more = left === 0 ? [] : [`  and ${left} more`]
  return [...fittedTable(columnsOf(section, shown, view), view.columns), ...more]
}

function columnsOf(section: Section, rows: readonly Row[], view: TopView): TableColumn[] {
  const nameChars = Math.max(12, Math.floor(view.columns / 3))
  const column = (head: string, rank: number, cell: (row: Row) => string): TableColumn => ({
    head,
    rank,
    cells: rows.map(row => (row.isKnown ? cell(row) : '-'))
  })
  const text = (head: string, rank: number, cell: (row: Row) => string): TableColumn => ({
    head,
    rank,
    cells: rows.map(cell),
    isText: true
  })
  return [
    text(section.head, 0, ({ name }) => shortened(name, nameChars)),
    text(section.placeHead, 9, ({ place }) => place),
    column('IOPS R/W', 3, ({ document: { reads, writes } }) => `${short(reads)}/${short(writes)}`),
    column('BYTES/S', 6, ({ document }) => `${size(document.readBytes + document.writtenBytes)}/s`),
    column('P50', 8, ({ document }) => latency(document.p50Us)),
    column('P99', 4, ({ document }) => latency(document.p99Us)),
    column('QUEUE', 7, ({ document }) => short(document.queue)),
    column('LOAD', 0, ({ document }) => short(document.load)),
    column('SHARE', 5, ({ share }) => (share === undefined ? '' : percent(share))),
    column('15 MIN', 2, row => ahead(row, 15, view.unicode)),
    column('60 MIN', 1, row => ahead(row, 60, view.unicode)),
    column('RISK', 1, ({ document }) => risk(document.chance)),
    text('AGE', 1, ({ age }) => age)
  ]
}

function shortened(name: string, chars: number): string {
  return name.length <= chars ? name : `${name.slice(0, chars - 1)}~`
}

/** `180us`, `2.1ms`, `1.3s`. */
export function latency(us: number): string {
  if (us <= 0) return '-'
  if (us < 999.5) return `${short(us)}us`
  return us < 999_500 ? `${short(us / 1000)}ms` : `${short(us / 1_000_000)}s`
}

/** The mark is in a place of its own, so that the numbers of a column stay in line. */
function risk(chance: number | undefined): string {
  if (chance === undefined) return '-'
  return `${percent(chance)} ${chance >= HIGH_CHANCE ? '!' : ' '}`
}

/** `1.2k..3.4k` or `40..55 %`, and where it goes. */
function ahead({ document, capacity }: Row, minutes: number, unicode: boolean): string {
  const found = document.ahead?.find(one => one.minutes === minutes)
  if (found === undefined) return '-'
  const { q50, q95 } = found
  const range =
    capacity !== undefined && capacity > 0
      ? `${Math.round((q50 / capacity) * 100)}..${percent(q95 / capacity)}`
      : `${short(q50)}..${short(q95)}`
  return `${range} ${arrow(document.load, q50, unicode)}`
}

function arrow(now: number, then: number, unicode: boolean): string {
  const [up, down, flat] = unicode ? ['↑', '↓', '→'] : ['^', 'v', '=']
  if (Math.max(now, then) < TREND_LEAST_LOAD) return flat ?? ''
  if (then > now * (1 + TREND_PART)) return up ?? ''
  return (then < now * (1 - TREND_PART) ? down : flat) ?? ''
}
