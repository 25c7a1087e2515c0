/** What `shoal explain` says of a volume, or of its shard on one node: why there, and what would move it. */
import type {
  PlaceDocument,
  ReceiptDocument,
  ShardExplainDocument
} from '../node/control/balance-documents.ts'
import type { Calendar } from '../protocols/forecast/calendar.ts'
import { IDLE_WORDS, wantLines } from './balance-view.ts'
import { bandText, figure, incurableText, REASONS, units, verdictText } from './balance-words.ts'
import { listed } from './explain-view.ts'
import { MAX_EXPLAINED_MOVES } from './limits.ts'
import { clean, durationText, plural, short, table } from './output.ts'
import { clockOf, timeText } from './times.ts'

export function shardText(document: ShardExplainDocument): string {
  const { volumeName, places, receipts, silent, zone, at, kind } = document
  const clock = clockOf(zone)
  const names = places.map(({ name }) => name)
  const where = names.length === 0 ? 'on no node that answers' : `on ${listed(names)}`
  const silence = silent.length === 0 ? [] : [`No answer from ${listed(silent)}.`]
  return [
    `${volumeName} is ${where}. Times are those of ${clock.zone}.`,
    ...attached(document),
    ...places.flatMap(place => [
      '',
      ...whyHere(document, place, clock),
      ...whatWouldMove(document, place, clock)
    ]),
    '',
    ...(receipts.length === 0
      ? [`No move ${kind === 'shard' ? 'to or from here' : 'of it'} is remembered.`]
      : [movesTable(receipts, at, clock)]),
    ...silence
  ]
    .flatMap(text => text.split('\n'))
    .map(clean)
    .join('\n')
}

function attached({ holder, near, volumeName }: ShardExplainDocument): string[] {
  const wish = near === undefined ? [] : [`It was to be near ${near} when it was created.`]
  return holder === undefined
    ? [...wish, `${volumeName} is attached nowhere, as far as those who answer know.`]
    : [...wish, `It is attached at ${holder.name} (${holder.region}).`]
}

function whyHere(
  { receipts, volumeName, createdAt, at }: ShardExplainDocument,
  place: PlaceDocument,
  clock: Calendar
): string[] {
  const { name, region, chunks, load, roundTripMs } = place
  const distance =
    roundTripMs === undefined ? '' : `, ${Math.ceil(roundTripMs)} ms from its gateway`
  const busy = load === undefined ? '' : `; ${units(load)} now`
  const head = `${volumeName}@${name} (${region}${distance}): ${plural(chunks, 'chunk')}${busy}.`
  const came = receipts.find(one => one.target === place.node && (one.movedChunks ?? 0) > 0)
  if (came === undefined) {
    const made = createdAt === 0 ? '' : ` (${timeText(createdAt, at, clock)})`
    return [
      head,
      `It was placed there when ${volumeName} was created${made}: no move there is known.`
    ]
  }
  const { movedChunks = 0, sourceName, reason, endedAt = came.decidedAt, id } = came
  return [
    head,
    `${plural(movedChunks, 'chunk')} came from ${sourceName} at ${timeText(endedAt, at, clock)}: ` +
      `${REASONS[reason]} (shoal explain ${id}).`
  ]
}

function whatWouldMove(
  { at, volumeName }: ShardExplainDocument,
  place: PlaceDocument,
  clock: Calendar
): string[] {
  const { name, balance, wants, incurable, load } = place
  if (balance === undefined) return [`${name} does not say what would make it move.`]
  const { idle, excess, threshold, settings } = balance
  const waits =
    idle === undefined ? [] : [`${name} begins nothing by itself now: ${IDLE_WORDS[idle]}.`]
  const cannot = incurable.map(one => `No move would help: ${incurableText(one)}.`)
  if (wants.length > 0) {
    const lines = wants.flatMap(want => wantLines(want, at, clock))
    return [...waits, `${name} would move this now:`, ...lines, ...cannot]
  }
  if (threshold === undefined) {
    return [...waits, ...cannot, `${name} has no threshold yet: it cannot say when it is too much.`]
  }
  const horizon = durationText(settings.horizonMinutes * 60_000)
  const part =
    load === undefined || balance.load < 1
      ? ''
      : ` Of its ${figure(balance.load)} units/s now ${figure(Math.min(load, balance.load))} are of ${volumeName}.`
  const now =
    excess === undefined
      ? `${name} expects to stay within its threshold of ${units(threshold)} for the next ${horizon}.`
      : `${name} expects ${bandText(excess)} units/s, above its threshold of ` +
        `${figure(excess.threshold)} from ${timeText(excess.highAtMs, at, clock)} on, and would move ` +
        'something else.'
  return [
    ...waits,
    ...cannot,
    `${now}${part} It moves when what it may come to (q90) exceeds that within ${horizon}, and a ` +
      'move is worth its cost.'
  ]
}

function movesTable(receipts: readonly ReceiptDocument[], nowMs: number, clock: Calendar): string {
  const rows = receipts.slice(0, MAX_EXPLAINED_MOVES).map(receipt => {
    const { id, decidedAt, sourceName, targetName, chunks, movedChunks, state, reason, cost } =
      receipt
    return [
      timeText(decidedAt, nowMs, clock),
      id,
      sourceName,
      targetName,
      movedChunks === undefined ? String(chunks) : `${movedChunks} of ${chunks}`,
      reason,
      state,
      cost === undefined ? '-' : `${short(cost.benefit)} for ${short(cost.cost)}`,
      verdictText(receipt) ?? '-'
    ]
  })
  const head = ['DECIDED', 'MOVE', 'FROM', 'TO', 'CHUNKS', 'REASON', 'STATE', 'WORTH', 'OUTCOME']
  return table(head, rows)
}
