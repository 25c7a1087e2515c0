/**
 * What `shoal explain` says of a move: sentences in the order in which things happened.
 *
 *   decided, and on what --> who was asked, and answered --> what it was worth --> how it went -->
 *   what really happened
 */
import type {
  AlternativeDocument,
  MoveDetailDocument,
  ReceiptDocument
} from '../node/control/balance-documents.ts'
import type { MoveDocument } from '../node/control/documents.ts'
import { bandText, bidText, figure, minutesText, REASONS, units } from './balance-words.ts'
import { clean, durationText, plural, short, size } from './output.ts'
import { clockOf, timeText } from './times.ts'

type Time = (ms: number) => string

export function moveText(document: MoveDetailDocument): string {
  const { id, receipt, move, keptBy, silent, zone, at } = document
  const clock = clockOf(zone)
  const time: Time = ms => timeText(ms, at, clock)
  const sentences =
    receipt === undefined
      ? withoutReceipt(move, time)
      : [
          headOf(id, receipt, clock.zone),
          ...decision(receipt, time),
          ...candidates(receipt),
          ...worth(receipt),
          ...course(receipt, move, time),
          ...aftermath(receipt, time)
        ]
  const keepers = keptBy.length === 0 ? [] : [`The receipt is kept by ${listed(keptBy)}.`]
  const silence = silent.length === 0 ? [] : [`No answer from ${listed(silent)}.`]
  return [...sentences, ...keepers, ...silence].map(clean).join('\n')
}

function withoutReceipt(move: MoveDocument | undefined, time: Time): string[] {
  if (move === undefined) return ['Nobody who answers knows more of it.']
  const { volumeName, fromName, toName, since, why, state, chunks } = move
  return [
    `Move ${move.id}: ${plural(chunks.total, 'chunk')} of ${volumeName}, from ${fromName} to ` +
      `${toName}, ${state}.`,
    `It was asked for at ${time(since)}: ${why}.`,
    'Nobody who answers keeps a receipt of it.'
  ]
}

function headOf(id: string, receipt: ReceiptDocument, zone: string): string {
  const { chunks, volumeName, sourceName, targetName, state } = receipt
  const end = state === 'open' ? 'under way' : state
  return (
    `Move ${id}: ${plural(chunks, 'chunk')} of ${volumeName}, from ${sourceName} to ${targetName}, ` +
    `${end}. Times are those of ${zone}.`
  )
}

function decision(receipt: ReceiptDocument, time: Time): string[] {
  const { reason, why, decidedAt, predicted, sourceName, volumeName } = receipt
  const at = `At ${time(decidedAt)}`
  if (reason === 'asked' || reason === 'drain') return [`${at} ${REASONS[reason]}: ${why}.`]
  const words = why === '' ? '' : ` (${why})`
  if (predicted === undefined)
    return [`${at} ${sourceName} decided it: ${REASONS[reason]}${words}.`]
  const { subject, threshold, overMs, horizonMs } = predicted
  const what = subject === 'node' ? sourceName : `${volumeName} on ${sourceName}`
  const told = reason === 'predicted' ? [] : [`${at} ${REASONS[reason]}.`]
  const over =
    overMs > 0
      ? `, for about ${minutesText(overMs / 60_000)} of the next ${minutesText(horizonMs / 60_000)}`
      : ''
  return [
    ...told,
    `${at} ${what} expected to come to ${bandText(predicted)} units/s: above its threshold of ` +
      `${figure(threshold)} from ${fromText(predicted, time)}${over}.`,
    `Of that, ${bandText({
      expectedPeak: predicted.movedExpectedPeak,
      highPeak: predicted.movedHighPeak
    })} units/s would have been of what moves.`
  ]
}

/** `14:50 on`, and where the band and the expected load differ, of both. */
function fromText(
  { highAtMs, expectedAtMs }: NonNullable<ReceiptDocument['predicted']>,
  time: Time
): string {
  const high = `${time(highAtMs)} on`
  if (expectedAtMs === highAtMs) return high
  const expected =
    expectedAtMs === undefined ? 'not as expected' : `from ${time(expectedAtMs)} on as expected`
  return `${high} if it went high (q90), ${expected}`
}

function candidates({ alternatives, targetName, keptBy }: ReceiptDocument): string[] {
  const asked = alternatives.filter(({ is }) => is !== 'unfit')
  const unfit = alternatives.filter(({ is }) => is === 'unfit')
  const answers = asked.map(answerText).join('; ')
  const names = listed(asked.map(({ name }) => name))
  // A target keeps of those who were considered only itself.
  const told = keptBy === 'target' ? `Of the bids only one is known: ${answers}` : undefined
  return [
    ...(asked.length === 0 ? [] : [`${told ?? `It asked ${names}; ${answers}`}.`]),
    ...(asked.some(({ is }) => is === 'chosen') ? [`${targetName} was chosen.`] : []),
    ...unfit.map(({ name, why }) => `It did not ask ${name}${why === '' ? '' : `: ${why}`}.`)
  ]
}

function answerText(one: AlternativeDocument): string {
  const why = one.why === '' ? '' : ` (${one.why})`
  if (one.is === 'declined') return `${one.name} declined${why}`
  if (one.is === 'silent') return `${one.name} did not answer${why}`
  return bidText(one)
}

function worth({ cost }: ReceiptDocument): string[] {
  if (cost === undefined) return []
  const { benefit, cost: price, copyMs } = cost
  return [
    `It was worth ${short(benefit)} units of overload and cost ${short(price)}; the move was to take ` +
      `${durationText(copyMs)}.`
  ]
}

function course(receipt: ReceiptDocument, move: MoveDocument | undefined, time: Time): string[] {
  const { state, startedAt, endedAt, chunks, movedChunks = 0, bytes, trouble } = receipt
  if (state === 'open') {
    if (move === undefined) return ['It has not ended, as far as those who answer know.']
    const { done, total } = move.bytes
    const left = move.leftMs === undefined ? '' : `, ${durationText(move.leftMs)} left`
    return [`It is ${move.state}: ${size(done)} of ${size(total)}${left}.`]
  }
  const took =
    startedAt === undefined || endedAt === undefined
      ? ''
      : ` in ${durationText(endedAt - startedAt)}`
  const end = endedAt === undefined ? '' : ` at ${time(endedAt)}`
  const moved = `${plural(movedChunks, 'chunk')} (${size(bytes)})`
  if (state === 'done') {
    const pause = pauseText(receipt)
    return [`It moved ${moved}${took}, done${end}${beforeText(receipt)}${pause}.`]
  }
  const why = trouble === undefined ? '' : `: ${trouble}`
  const word = state === 'failed' ? 'It failed' : 'It was called off'
  return [`${word}${end}${why}. ${movedChunks} of ${plural(chunks, 'chunk')} had moved.`]
}

/** `, 22 min before that`: what it was meant to be ahead of. */
function beforeText({ predicted, endedAt, reason }: ReceiptDocument): string {
  if (predicted === undefined || endedAt === undefined || reason !== 'predicted') return ''
  const aheadMs = predicted.highAtMs - endedAt
  return aheadMs >= 0
    ? `, ${durationText(aheadMs)} before the threshold could be exceeded`
    : `, ${durationText(-aheadMs)} after the threshold could be exceeded first`
}

function pauseText({ longestPauseMs }: ReceiptDocument): string {
  return longestPauseMs === undefined
    ? ''
    : `; the longest pause of a client was ${Math.ceil(longestPauseMs)} ms`
}

function aftermath(receipt: ReceiptDocument, time: Time): string[] {
  const { outcome, unjudged, judgedFrom, reason, predicted, sourceName, volumeName } = receipt
  if (unjudged !== undefined) return [`What really happened nobody can say: ${unjudged}.`]
  if (outcome === undefined) {
    return judgedFrom === undefined
      ? []
      : [`What really happened is judged from ${time(judgedFrom)} on, an hour after its end.`]
  }
  const { sourcePeak, sourcePeakWithout, sourceThreshold, wasNeeded } = outcome
  const what = predicted?.subject === 'shard' ? `${volumeName} on ${sourceName}` : sourceName
  const isDefence = reason === 'predicted' || reason === 'reactive'
  const verdict = wasNeeded ? 'so it was needed' : 'so it was not needed'
  const above = wasNeeded ? 'above' : 'within'
  return [
    `In the hour after it, without the move ${what} would have peaked at ` +
      `${units(sourcePeakWithout)}, ${above} its threshold of ${figure(sourceThreshold)}` +
      `${isDefence ? `: ${verdict}` : ''}. It did peak at ${figure(sourcePeak)}.`,
    targetText(receipt, outcome),
    `Overload: ${minutesText(outcome.avoidedMinutes)} avoided, ` +
      `${minutesText(outcome.sufferedMinutes)} suffered.`
  ]
}

function targetText(
  { targetName }: ReceiptDocument,
  outcome: NonNullable<ReceiptDocument['outcome']>
): string {
  const { targetPeak, targetThreshold, targetStayedWell } = outcome
  return targetStayedWell
    ? `${targetName} stayed well: it peaked at ${units(targetPeak)}, of ${figure(targetThreshold)}.`
    : `${targetName} did not stay well: it peaked at ${units(targetPeak)}, above its threshold of ` +
        `${figure(targetThreshold)}.`
}

/** `a, b and c` */
export function listed(names: readonly string[]): string {
  if (names.length < 2) return names.join('')
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}
