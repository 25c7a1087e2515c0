/** Words that several views of balancing share: loads, reasons, verdicts, a score. */
import type {
  AlternativeDocument,
  IncurableDocument,
  ReceiptDocument
} from '../node/control/balance-documents.ts'
import type { ScoreTotals } from '../protocols/balance/score.ts'
import type { Excess, MoveReason } from '../protocols/balance/types.ts'
import { durationText, percent, plural, short } from './output.ts'

/** `1,240 units/s`; small loads with what matters of them. */
export function units(load: number): string {
  return `${figure(load)} units/s`
}

/** `930`, `1,240`, `3.4`. */
export function figure(load: number): string {
  if (load >= 1e9) return short(load)
  if (load < 10) return String(Math.round(load * 10) / 10)
  return String(Math.round(load)).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** `930 to 1,240`, or one figure where the band is none. */
export function bandText({ expectedPeak, highPeak }: Pick<Excess, 'expectedPeak' | 'highPeak'>) {
  const [expected, high] = [figure(expectedPeak), figure(highPeak)]
  return expected === high ? high : `${expected} to ${high}`
}

export const REASONS: Readonly<Record<MoveReason, string>> = {
  predicted: 'an overload was foretold',
  reactive: 'there was an overload that nothing had foretold',
  home: 'its load had gone, and it comes home',
  asked: 'somebody asked for it',
  drain: 'the node was being emptied'
}

/** What really happened, in a few words; undefined: that is not known. */
export function verdictText({ outcome, unjudged, reason }: ReceiptDocument): string | undefined {
  if (unjudged !== undefined) return 'cannot be said'
  if (outcome === undefined) return undefined
  const need =
    reason === 'predicted' || reason === 'reactive'
      ? [outcome.wasNeeded ? 'needed' : 'not needed']
      : []
  return [...need, outcome.targetStayedWell ? 'target well' : 'target overloaded'].join(', ')
}

/** `host-b bid 400 units/s of headroom at 3 ms` */
export function bidText({ name, bid }: AlternativeDocument): string {
  if (bid === undefined) return `${name} bid`
  const { headroom, addedExcess, rttMs } = bid
  const room =
    headroom >= 0
      ? `${units(headroom)} of headroom left`
      : `${units(-headroom)} more than it should have`
  const more = addedExcess > 0 ? `, ${figure(addedExcess)} units of overload added` : ''
  return `${name} bid ${room}${rttMs === undefined ? '' : ` at ${Math.ceil(rttMs)} ms`}${more}`
}

export function incurableText({ volumeName, why }: IncurableDocument): string {
  return volumeName === undefined ? why : `${volumeName}: ${why}`
}

export function scoreText(score: ScoreTotals, days: number): string {
  const { measuredMinutes, sufferedMinutes, avoidedMinutes } = score
  const { needed, unneeded, unjudged, predicted, cameTrue, missed } = score
  if (measuredMinutes === 0 && needed + unneeded + unjudged === 0) {
    return `score of ${plural(days, 'day')}: nothing to count yet`
  }
  const part = measuredMinutes === 0 ? 0 : sufferedMinutes / measuredMinutes
  const judged = needed + unneeded
  const moves = [
    judged === 0 ? 'no move was judged' : `${needed} of ${plural(judged, 'move')} needed`,
    ...(unjudged === 0 ? [] : [`${unjudged} that nobody can judge`]),
    ...(predicted === 0 ? [] : [`${cameTrue} of ${plural(predicted, 'prediction')} came true`]),
    ...(missed === 0 ? [] : [`${plural(missed, 'overload')} that no move was made against`])
  ]
  return (
    `score of ${plural(days, 'day')}: overload ${minutesText(avoidedMinutes)} avoided, ` +
    `${minutesText(sufferedMinutes)} suffered (${partText(part)} of what was measured); ` +
    moves.join(', ')
  )
}

export function minutesText(minutes: number): string {
  return minutes < 120 ? `${Math.round(minutes)} min` : durationText(minutes * 60_000)
}

function partText(part: number): string {
  return part > 0 && part < 0.01 ? `${(part * 100).toFixed(2)} %` : percent(part)
}
