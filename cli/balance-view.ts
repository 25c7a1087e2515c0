/** What `shoal balance status`, `plan` and `set` say. */
import type {
  BalanceDocument,
  BalanceSetDocument,
  NodeBalanceDocument,
  NodePlanDocument,
  PlanDocument,
  PlannedDocument
} from '../node/control/balance-documents.ts'
import type { SettingsMessage } from '../protocols/balance/messages.ts'
import type { Calendar } from '../protocols/forecast/calendar.ts'
import { bandText, figure, incurableText, scoreText, units } from './balance-words.ts'
import { clean, durationText, percent, plural, short, size, table } from './output.ts'
import { clockOf, timeText } from './times.ts'

const MINUTE_MS = 60_000

type Idle = NonNullable<NodeBalanceDocument['idle']>

/** What a node that begins nothing by itself is. */
export const IDLE_WORDS: Readonly<Record<Idle, string>> = {
  paused: 'paused',
  draining: 'being drained',
  budget: 'budget used up',
  cooling: 'cooling down',
  blind: 'no forecast yet'
}

export function statusText({ nodes, score, silent, zone }: BalanceDocument): string {
  const clock = clockOf(zone)
  const notes = nodes.flatMap(node => nodeNotes(node, clock))
  const silence =
    silent.length === 0 ? [] : [`no answer from ${silent.join(', ')}: the score is without theirs`]
  return [
    nodes.length === 0 ? 'no node with a store answers' : statusTable(nodes),
    ...(notes.length === 0 ? [] : ['', ...notes.map(clean)]),
    '',
    scoreText(score.totals, score.days),
    ...silence.map(clean)
  ].join('\n')
}

function statusTable(nodes: readonly NodeBalanceDocument[]): string {
  const rows = nodes.map(node => [
    node.name,
    node.idle === undefined ? 'on' : IDLE_WORDS[node.idle],
    short(node.load),
    thresholdText(node),
    durationText(node.settings.horizonMinutes * MINUTE_MS),
    `${node.movesLeft} of ${node.settings.movesPerHour}`,
    bytesText(node),
    node.settings.regions?.join(',') ?? 'all',
    String(node.underWay.length),
    String(node.promises.length)
  ])
  const head = ['NODE', 'STATE', 'LOAD', 'THRESHOLD', 'HORIZON', 'MOVES LEFT', 'BYTES LEFT']
  return table([...head, 'REGIONS', 'UNDER WAY', 'PROMISED'], rows)
}

function thresholdText({ threshold, thresholdFrom, settings }: NodeBalanceDocument): string {
  if (threshold === undefined) return '-'
  const part = percent(settings.thresholdPart)
  return `${short(threshold)} (${thresholdFrom === 'usual' ? 'seldom exceeded' : part})`
}

function bytesText({ bytesLeft, settings }: NodeBalanceDocument): string {
  if (settings.bytesPerHour === undefined) return 'no bound'
  return `${size(bytesLeft ?? 0)} of ${size(settings.bytesPerHour)}`
}

function nodeNotes(node: NodeBalanceDocument, clock: Calendar): string[] {
  const { name, at, excess, plannedAt } = node
  const time = (ms: number) => timeText(ms, at, clock)
  const looked =
    plannedAt === undefined ? 'has not looked yet' : `looked last at ${time(plannedAt)}`
  const ahead =
    excess === undefined
      ? []
      : [
          `${name} expects ${bandText(excess)} units/s, above ${figure(excess.threshold)} from ` +
            `${time(excess.highAtMs)} on`
        ]
  return [
    `${name} ${looked}`,
    ...ahead,
    ...node.underWay.map(
      ({ id, at: state, volumeName, toName, bytes, since }) =>
        `${name} ${UNDER_WAY[state]} ${size(bytes)} of ${volumeName}` +
        `${toName === undefined ? '' : ` to ${toName}`} since ${time(since)} (${id})`
    ),
    ...node.promises.map(
      ({ id, at: state, volumeName, fromName, bytes, highPeak }) =>
        `${name} ${state === 'offered' ? 'bids for' : 'has promised to take'} ${size(bytes)} of ` +
        `${volumeName} from ${fromName}, up to ${units(highPeak)} (${id})`
    ),
    ...node.incurable.map(one => `${name} cannot be helped by a move: ${incurableText(one)}`),
    ...node.problems.map(problem => `! ${name}: ${problem}`)
  ]
}

const UNDER_WAY = { offering: 'offers', moving: 'moves', settling: 'settles the move of' } as const

export function setText({ nodes, refused, silent }: BalanceSetDocument, what: string): string {
  const names = nodes.map(({ name }) => name)
  const done = names.length === 0 ? [] : [`${what} on ${names.join(', ')}`]
  const refusals = refused.map(({ name, why }) => `${name} refused: ${why}`)
  const silence = silent.length === 0 ? [] : [`no answer from ${silent.join(', ')}`]
  return [...done, ...refusals, ...silence].map(clean).join('\n')
}

/** `threshold 80 %, horizon 60 min, ...` */
export function settingsText(settings: SettingsMessage): string {
  const { isPaused, thresholdPart, horizonMinutes, movesPerHour, bytesPerHour, regions } = settings
  return [
    ...(isPaused ? ['paused'] : []),
    `threshold ${percent(thresholdPart)}`,
    `horizon ${durationText(horizonMinutes * MINUTE_MS)}`,
    `${plural(movesPerHour, 'move')} an hour`,
    `${bytesPerHour === undefined ? 'any bytes' : size(bytesPerHour)} an hour`,
    `to ${regions === undefined ? 'all regions' : regions.join(', ')}`
  ].join(', ')
}

export function planText({ nodes, silent, zone }: PlanDocument): string {
  const clock = clockOf(zone)
  const silence = silent.length === 0 ? [] : [`no answer from ${silent.join(', ')}`]
  const lines = nodes.flatMap(node => nodePlanLines(node, clock))
  return [...lines, ...silence, 'nothing was moved: this is what would be'].map(clean).join('\n')
}

function nodePlanLines(node: NodePlanDocument, clock: Calendar): string[] {
  const { name, idle, wants, incurable, left } = node
  const but = idle === undefined ? '' : ` (but begins nothing now: ${IDLE_WORDS[idle]})`
  const head =
    wants.length === 0
      ? `${name} would move nothing${but}`
      : `${name} would make ${plural(wants.length, 'move')}${but}:`
  return [
    head,
    ...wants.flatMap(want => wantLines(want, node.at, clock)),
    ...incurable.map(one => `  no move would help: ${incurableText(one)}`),
    ...left.map(why => `  left where it is: ${why}`)
  ]
}

export function wantLines(planned: PlannedDocument, nowMs: number, clock: Calendar): string[] {
  const { want, why, volumeName, candidates } = planned
  const { excess } = want
  const time = (ms: number) => timeText(ms, nowMs, clock)
  const ahead =
    excess === undefined
      ? []
      : [
          `    ${excess.subject} expects ${bandText(excess)} units/s, above ` +
            `${figure(excess.threshold)} from ${time(excess.highAtMs)} on`
        ]
  return [
    `  ${plural(want.chunkCount, 'chunk')} of ${volumeName} (${size(want.bytes)}): ${why}`,
    ...ahead,
    `    worth ${short(want.benefit)} units of overload, costs ${short(want.cost)}; the move takes ` +
      durationText(want.copyMs),
    ...candidates.map(({ name, region, is, why }) => {
      const state = is === 'unfit' ? 'would not be asked' : 'would be asked'
      return `    ${name} (${region}) ${state}${why === '' ? '' : `: ${why}`}`
    })
  ]
}
