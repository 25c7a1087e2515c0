/** What receipts add to `shoal moves`: compact columns of the list, and `shoal moves show`. */
import type {
  AlternativeDocument,
  MoveDetailDocument,
  ReceiptDocument
} from '../node/control/balance-documents.ts'
import type { MoveDocument, MovesDocument } from '../node/control/documents.ts'
import type { Calendar } from '../protocols/forecast/calendar.ts'
import { bandText, bidText, figure, minutesText, units, verdictText } from './balance-words.ts'
import { clean, durationText, short, size } from './output.ts'
import { clockOf, timeText } from './times.ts'

export interface Column {
  readonly head: string
  readonly cell: (move: MoveDocument) => string
}

/** Those that have something to say of any of these moves. */
export function receiptColumns({ moves, zone, at: nowMs }: MovesDocument): Column[] {
  const clock = clockOf(zone)
  const cell = (text: (receipt: ReceiptDocument) => string | undefined) => (move: MoveDocument) =>
    (move.receipt && text(move.receipt)) ?? '-'
  const columns: Column[] = [
    { head: 'PREDICTED', cell: cell(receipt => predictedText(receipt, nowMs, clock)) },
    { head: 'BIDS', cell: cell(bidsText) },
    {
      head: 'WORTH',
      cell: cell(({ cost }) => cost && `${short(cost.benefit)} for ${short(cost.cost)}`)
    },
    { head: 'OUTCOME', cell: cell(receipt => outcomeText(receipt, nowMs, clock)) }
  ]
  return columns.filter(column => moves.some(move => column.cell(move) !== '-'))
}

/** `930 to 1,240 > 800 at 14:50` */
function predictedText(
  { predicted }: ReceiptDocument,
  nowMs: number,
  clock: Calendar
): string | undefined {
  if (predicted === undefined) return undefined
  const at = timeText(predicted.highAtMs, nowMs, clock)
  return `${bandText(predicted)} > ${figure(predicted.threshold)} at ${at}`
}

/** How many of those that were asked bid: `2 of 3`. */
function bidsText({ alternatives }: ReceiptDocument): string | undefined {
  const asked = alternatives.filter(({ is }) => is !== 'unfit')
  if (asked.length === 0) return undefined
  const bid = asked.filter(({ is }) => is === 'chosen' || is === 'outbid')
  return `${bid.length} of ${asked.length}`
}

function outcomeText(receipt: ReceiptDocument, nowMs: number, clock: Calendar): string | undefined {
  const { judgedFrom } = receipt
  const known = verdictText(receipt)
  if (known !== undefined || judgedFrom === undefined) return known
  return judgedFrom > nowMs ? `from ${timeText(judgedFrom, nowMs, clock)}` : 'soon'
}

/** `shoal moves show`: one fact a line. */
export function detailText({ id, receipt, move, keptBy, silent, zone, at }: MoveDetailDocument) {
  const clock = clockOf(zone)
  const time = (ms: number) => timeText(ms, at, clock)
  const facts: Array<readonly [string, string | undefined]> = [
    ...(move === undefined && receipt !== undefined ? receiptFacts(receipt) : []),
    ...(move === undefined ? [] : moveFacts(move)),
    ...(receipt === undefined ? [] : decisionFacts(receipt, time)),
    ...(receipt === undefined ? [] : endFacts(receipt, time)),
    [
      'receipt',
      keptBy.length === 0 ? 'kept by nobody who answers' : `kept by ${keptBy.join(', ')}`
    ],
    ['no answer', silent.length === 0 ? undefined : silent.join(', ')]
  ]
  const shown = facts.flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const]
  )
  const width = Math.max(...shown.map(([name]) => name.length)) + 2
  return [
    `move ${id} (times of ${clock.zone})`,
    ...shown.map(([name, v]) => `${name.padEnd(width)}${v}`)
  ]
    .map(clean)
    .join('\n')
}

type Facts = Array<readonly [string, string | undefined]>

function moveFacts(move: MoveDocument): Facts {
  const { chunks, bytes, bytesPerSecond, leftMs, trouble } = move
  return [
    ['volume', move.volumeName],
    ['from', move.fromName],
    ['to', move.toName],
    ['state', move.state],
    ['why', move.why],
    ['chunks', `${chunks.done} of ${chunks.total}`],
    ['bytes', `${size(bytes.done)} of ${size(bytes.total)}`],
    ['rate', bytesPerSecond === 0 ? undefined : `${size(bytesPerSecond)}/s`],
    ['left', leftMs === undefined ? undefined : durationText(leftMs)],
    ['longest pause', `${Math.ceil(move.longestPauseMs)} ms`],
    ['trouble', trouble]
  ]
}

function receiptFacts(receipt: ReceiptDocument): Facts {
  const { chunks, movedChunks, bytes, state, why, trouble, longestPauseMs } = receipt
  return [
    ['volume', receipt.volumeName],
    ['from', receipt.sourceName],
    ['to', receipt.targetName],
    ['state', state],
    ['why', why],
    ['chunks', movedChunks === undefined ? String(chunks) : `${movedChunks} of ${chunks}`],
    ['bytes', size(bytes)],
    ['longest pause', longestPauseMs === undefined ? undefined : `${Math.ceil(longestPauseMs)} ms`],
    ['trouble', trouble]
  ]
}

function decisionFacts(receipt: ReceiptDocument, time: (ms: number) => string): Facts {
  const { reason, decidedAt, startedAt, endedAt, predicted, alternatives, cost } = receipt
  return [
    ['reason', reason],
    ['decided', time(decidedAt)],
    ['began', startedAt === undefined ? undefined : time(startedAt)],
    ['ended', endedAt === undefined ? undefined : time(endedAt)],
    [
      'predicted',
      predicted &&
        `${predicted.subject} ${bandText(predicted)} units/s, above ${figure(predicted.threshold)} ` +
          `from ${time(predicted.highAtMs)} on` +
          (predicted.expectedAtMs === undefined
            ? ' if it goes high'
            : `, expected from ${time(predicted.expectedAtMs)} on`)
    ],
    ['what moves', predicted && `${bandOfMoved(predicted)} units/s of it`],
    ...alternatives.map(one => [one.is, alternativeText(one)] as const),
    [
      'worth',
      cost &&
        `${short(cost.benefit)} units of overload, cost ${short(cost.cost)}; the move was to take ` +
          durationText(cost.copyMs)
    ]
  ]
}

function bandOfMoved({
  movedExpectedPeak,
  movedHighPeak
}: NonNullable<ReceiptDocument['predicted']>) {
  return bandText({ expectedPeak: movedExpectedPeak, highPeak: movedHighPeak })
}

function alternativeText(one: AlternativeDocument): string {
  const { name, region, why, bid, score } = one
  const said = bid === undefined ? name : bidText(one)
  const rank = score === undefined ? '' : ` (score ${short(score)})`
  return `${said} (${region})${rank}${why === '' ? '' : `: ${why}`}`
}

function endFacts(receipt: ReceiptDocument, time: (ms: number) => string): Facts {
  const { outcome, unjudged, judgedFrom } = receipt
  if (unjudged !== undefined) return [['outcome', `cannot be said: ${unjudged}`]]
  if (outcome === undefined) {
    return [['outcome', judgedFrom === undefined ? undefined : `known from ${time(judgedFrom)} on`]]
  }
  const { sourcePeak, sourcePeakWithout, sourceThreshold, targetPeak, targetThreshold } = outcome
  return [
    ['outcome', `${verdictText(receipt) ?? ''}, judged ${time(outcome.judgedAt)}`],
    [
      'source',
      `peak ${units(sourcePeak)}, without the move ${figure(sourcePeakWithout)}, threshold ` +
        figure(sourceThreshold)
    ],
    ['target', `peak ${units(targetPeak)}, threshold ${figure(targetThreshold)}`],
    [
      'overload',
      `${minutesText(outcome.avoidedMinutes)} avoided, ${minutesText(outcome.sufferedMinutes)} suffered`
    ]
  ]
}
