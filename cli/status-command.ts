/** `shoal status`: problems first, then nodes by region, then volumes. */
import type { Command } from 'commander'
import type { NodeDocument, SelfDocument, StatusDocument } from '../node/control/documents.ts'
import type { Io } from './io.ts'
import { commonOptions } from './options.ts'
import { clean, durationText, loadText, plural, report, size, table } from './output.ts'
import { examples } from './shared.ts'
import { volumeTable } from './volume-commands.ts'

export function addStatusCommand(program: Command, io: Io): void {
  program
    .command('status')
    .summary('show the mesh: problems, nodes, volumes')
    .addHelpText('after', examples('shoal status', 'shoal status --json | jq .problems'))
    .action(async (_options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const status = await client.get<StatusDocument>('/v1/status')
      report(io, json, status, () => statusText(status))
    })
}

export function statusText(status: StatusDocument): string {
  const { self } = status
  const role = self.role === 'admin' ? ', admin' : ''
  return [
    `mesh ${status.mesh}, seen from ${self.name} (${self.region}${role})`,
    `${size(status.usedBytes)} of ${size(status.capacityBytes)} used, load ${loadText(status.load)}`,
    ...clockText(self),
    '',
    problemText(status.problems),
    '',
    nodeTable(status.nodes),
    '',
    status.volumes.length === 0 ? 'no volumes' : volumeTable(status.volumes)
  ].join('\n')
}

/** Whoever looks at a demo or a test must not take its times for those of a real mesh. */
function clockText({ loadRate }: SelfDocument): string[] {
  if (loadRate === undefined) return []
  return [
    `for load and balancing, and for nothing else, time passes ${loadRate} times as fast here`
  ]
}

function problemText(problems: readonly string[]): string {
  if (problems.length === 0) return 'no problems'
  const lines = problems.map(problem => `  ! ${clean(problem)}`)
  return [`${plural(problems.length, 'problem')}:`, ...lines].join('\n')
}

function nodeTable(nodes: readonly NodeDocument[]): string {
  const rows = nodes.map(node => [
    node.region,
    node.isSelf ? `${node.name} (here)` : node.name,
    node.host,
    healthText(node),
    node.capacityBytes === 0 ? 'gateway' : `${size(node.usedBytes)} of ${size(node.capacityBytes)}`,
    node.shardCount === undefined ? '-' : String(node.shardCount),
    node.chunkCount === undefined ? '-' : String(node.chunkCount),
    nodeLoadText(node),
    node.sampleAgeMs === undefined ? '-' : durationText(node.sampleAgeMs)
  ])
  const head = ['REGION', 'NODE', 'HOST', 'HEALTH', 'USED', 'SHARDS', 'CHUNKS', 'LOAD', 'SAMPLE']
  return table(head, rows)
}

/** `1200/s 30 MiB/s, 12 %, max 5000`: of what the node can or may do, if that is known. */
function nodeLoadText({ load, share, maxLoad }: NodeDocument): string {
  const most = maxLoad === undefined ? '' : `, max ${maxLoad}`
  const isIdle = load === undefined || share === undefined || share === 0
  return `${loadText(load)}${isIdle ? '' : `, ${Math.round(share * 100)} %`}${most}`
}

function healthText(node: NodeDocument): string {
  if (!node.connected) {
    const { lastSeenAt } = node
    const seen = lastSeenAt === undefined ? '' : `, last seen ${new Date(lastSeenAt).toISOString()}`
    return `not connected${seen}`
  }
  if (node.uptimeMs === undefined) return 'no answer'
  const trip = node.roundTripMs === undefined ? '' : ` ${node.roundTripMs.toFixed(1)} ms`
  const drained = { leave: ', leaving', maintenance: ', draining' }
  const draining = node.draining === undefined ? '' : drained[node.draining]
  return `up${trip}, start ${node.incarnation.number}${draining}`
}
