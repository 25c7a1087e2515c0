/** `shoal balance`: how nodes move data by themselves, whether they may, and what they would do. */
import type { Command } from 'commander'
import type {
  BalanceDocument,
  BalanceSetDocument,
  PlanDocument
} from '../node/control/balance-documents.ts'
import { checkName } from '../node/volumes/names.ts'
import type { SettingsChangeMessage } from '../protocols/balance/messages.ts'
import { MAX_BALANCE_REGIONS, RECEIPT_DAYS } from '../protocols/balance/receipt-limits.ts'
import { BOUNDS } from '../protocols/balance/settings.ts'
import { ShoalError } from '../protocols/fault.ts'
import { parseBytes } from '../protocols/layout/sizes.ts'
import { planText, setText, settingsText, statusText } from './balance-view.ts'
import type { Io } from './io.ts'
import { BALANCE_HORIZON, SCORE_DAYS } from './limits.ts'
import { badOption, commonOptions, parseCount, parseDurationWithin, parseMoves } from './options.ts'
import { report } from './output.ts'
import { checkNode, examples } from './shared.ts'

const MINUTE_MS = 60_000

/** The command, for those that belong to it beside these. */
export function addBalanceCommands(program: Command, io: Io): Command {
  const balance = program
    .command('balance')
    .summary('how nodes move data before it gets slow')
    .description(
      'Every node watches what it is expected to be asked, and moves chunks to other nodes before it ' +
        'is more than it should be. It needs no setting up. All of this may be asked of any node.'
    )
    .addHelpText(
      'after',
      examples(
        'shoal balance status',
        'shoal balance plan',
        'shoal balance pause --node eu-3',
        'shoal balance set --threshold 70% --regions eu-west,eu-north',
        'shoal balance link eu-west us-east --cost 3'
      )
    )
  addStatus(balance, io)
  addPause(balance, io)
  addPlan(balance, io)
  addSet(balance, io)
  return balance
}

interface NodeOption {
  readonly node?: string
}

function addStatus(balance: Command, io: Io): void {
  balance
    .command('status')
    .summary('settings, what is left of the budget, what is under way, the score')
    .description(
      'Shows for every node whether it moves data by itself, its threshold and horizon, what is left ' +
        'of its budget for this hour, what it expects and has promised; and the score of the mesh: ' +
        'minutes of overload that moves avoided and that were suffered, and whether moves were needed.'
    )
    .option('--node <node>', 'only this one, by name or id')
    .option('--days <n>', `of the score (default: ${SCORE_DAYS}, at most ${RECEIPT_DAYS})`)
    .addHelpText('after', examples('shoal balance status', 'shoal balance status --days 30'))
    .action(async (options: NodeOption & { days?: string }, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const days = options.days === undefined ? SCORE_DAYS : parseCount(options.days, 'days', 30)
      if (days > RECEIPT_DAYS) throw badOption('days', `--days must be at most ${RECEIPT_DAYS}`)
      const query = new URLSearchParams({ days: String(days), ...whereOf(options) })
      const status = await client.get<BalanceDocument>(`/v1/balance?${query}`)
      report(io, json, status, () => statusText(status))
    })
}

function addPause(balance: Command, io: Io): void {
  for (const isPaused of [true, false]) {
    const [name, words] = isPaused ? ['pause', 'is paused'] : ['resume', 'goes on']
    balance
      .command(name)
      .summary(
        isPaused ? 'nodes begin no move by themselves' : 'nodes move data by themselves again'
      )
      .description(
        isPaused
          ? 'Nodes begin no move by themselves until they are resumed, also after a restart. What is ' +
              'under way goes on, moves and drains that people ask for too, and a node still takes ' +
              'what others move to it.'
          : 'Nodes move data by themselves again.'
      )
      .option('--node <node>', 'only this one, by name or id (default: all)')
      .addHelpText('after', examples(`shoal balance ${name}`, `shoal balance ${name} --node eu-3`))
      .action(async (options: NodeOption, command: Command) => {
        const { json, client } = commonOptions(command, io)
        const done = await client.post<BalanceSetDocument>('/v1/balance', {
          isPaused,
          ...whereOf(options)
        })
        finish(io, json, done, `balancing ${words}`)
      })
  }
}

function addPlan(balance: Command, io: Io): void {
  balance
    .command('plan')
    .summary('what nodes would do now, and why; moves nothing')
    .description(
      'Says what each node would do now if it decided now: which chunks it would move, why, what that ' +
        'is worth and costs, and whom it would ask; and what it would leave where it is. It moves ' +
        'nothing and asks no other node.'
    )
    .option('--node <node>', 'only this one, by name or id')
    .addHelpText('after', examples('shoal balance plan', 'shoal balance plan --node eu-3 --json'))
    .action(async (options: NodeOption, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const query = new URLSearchParams(whereOf(options))
      const plan = await client.get<PlanDocument>(`/v1/balance/plan?${query}`)
      report(io, json, plan, () => planText(plan))
    })
}

interface SetOptions extends NodeOption {
  readonly threshold?: string
  readonly horizon?: string
  readonly movesPerHour?: string
  readonly bytesPerHour?: string
  readonly regions?: string
}

function addSet(balance: Command, io: Io): void {
  const { min, max } = BALANCE_HORIZON
  balance
    .command('set')
    .summary('change when nodes move data, how much of it, and where to')
    .description(
      'Changes how nodes move data by themselves; what is not named stays. It is kept. How a single ' +
        'volume may be moved is set with `shoal volume set`.'
    )
    .option('--node <node>', 'only this one, by name or id (default: all)')
    .option('--threshold <part>', 'of its capacity that a node should not exceed, for example 80%')
    .option('--horizon <time>', `how far ahead it looks, ${min} to ${max}`)
    .option('--moves-per-hour <n>', 'that it may begin; 0 for none')
    .option('--bytes-per-hour <size>', 'that they may take, for example 20G, or unlimited')
    .option('--regions <list>', 'where its data may go, for example eu-west,eu-north, or all')
    .addHelpText(
      'after',
      examples(
        'shoal balance set --threshold 70%',
        'shoal balance set --node eu-3 --horizon 90m --moves-per-hour 6 --bytes-per-hour 20G',
        'shoal balance set --regions eu-west,eu-north'
      )
    )
    .action(async (options: SetOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const change = changeOf(options)
      if (Object.keys(change).length === 0) {
        throw badOption('threshold', 'name what is to change, for example --threshold 70%')
      }
      const done = await client.post<BalanceSetDocument>('/v1/balance', {
        ...change,
        ...whereOf(options)
      })
      const [only] = done.nodes
      const isSame = done.nodes.every(
        ({ settings }) =>
          only !== undefined && settingsText(settings) === settingsText(only.settings)
      )
      finish(io, json, done, only && isSame ? settingsText(only.settings) : 'it is changed')
    })
}

/** What nobody did is a failure, what some did not is said. */
function finish(io: Io, json: boolean, done: BalanceSetDocument, what: string): void {
  const { nodes, refused, silent } = done
  if (nodes.length > 0) {
    report(io, json, done, () => setText(done, what))
    return
  }
  const why = [...refused.map(one => `${one.name} refused: ${one.why}`), ...silent.map(noAnswer)]
  throw new ShoalError(
    { code: 'UNREACHABLE', peer: silent.join(', ') },
    why.length === 0 ? 'the mesh has no node with a store' : why.join('\n')
  )
}

function noAnswer(name: string): string {
  return `no answer from ${name}`
}

function whereOf({ node }: NodeOption): { node?: string } {
  return node === undefined ? {} : { node: checkNode(node, 'node') }
}

function changeOf(options: SetOptions): SettingsChangeMessage {
  const { threshold, horizon, movesPerHour, bytesPerHour, regions } = options
  return {
    ...(threshold === undefined ? {} : { thresholdPart: parseThreshold(threshold) }),
    ...(horizon === undefined
      ? {}
      : {
          horizonMinutes: Math.ceil(
            parseDurationWithin(horizon, 'horizon', BALANCE_HORIZON) / MINUTE_MS
          )
        }),
    ...(movesPerHour === undefined ? {} : { movesPerHour: parseMoves(movesPerHour) }),
    ...(bytesPerHour === undefined
      ? {}
      : {
          bytesPerHour:
            bytesPerHour === 'unlimited' ? null : parseBytes(bytesPerHour, 'bytes-per-hour')
        }),
    ...(regions === undefined ? {} : { regions: regions === 'all' ? null : parseRegions(regions) })
  }
}

/** `80%` or `80` as 0.8. */
function parseThreshold(text: string): number {
  const part = /^[0-9]{1,3}(\.[0-9]{1,2})?%?$/.test(text) ? Number.parseFloat(text) / 100 : 0
  const { min, max } = BOUNDS.thresholdPart
  if (part >= min && part <= max) return part
  throw badOption(
    'threshold',
    `--threshold must be from ${min * 100}% to ${max * 100}%, for example 80%`
  )
}

function parseRegions(text: string): string[] {
  const regions = [...new Set(text.split(','))]
  for (const region of regions) checkName('region', region)
  if (regions.length <= MAX_BALANCE_REGIONS) return regions
  throw badOption('regions', `--regions must be at most ${MAX_BALANCE_REGIONS} names`)
}
