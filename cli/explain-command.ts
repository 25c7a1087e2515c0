/** `shoal explain`: why a move was made and what became of it, or why a shard is where it is. */
import type { Command } from 'commander'
import type { ExplainDocument } from '../node/control/balance-documents.ts'
import { printable } from '../node/volumes/names.ts'
import { isName, isNodeId, isVolumeId } from '../protocols/ids.ts'
import { shardText } from './explain-shard-view.ts'
import { moveText } from './explain-view.ts'
import type { Io } from './io.ts'
import { badOption, commonOptions } from './options.ts'
import { report } from './output.ts'
import { examples } from './shared.ts'

export function addExplainCommand(program: Command, io: Io): void {
  program
    .command('explain')
    .summary('tell a move, or where a shard is and why, in sentences')
    .description(
      'Of a move: what was foretold, who was asked and bid, what it was worth and cost, how it went, and ' +
        'from an hour after its end what really happened and whether it was needed. Of a volume or of ' +
        'one shard (VOLUME@NODE): why it is where it is, what moved in and out, and what would make it ' +
        'move. Times are those of the zone of the volume, or of the node that is asked.'
    )
    .argument('<subject>', 'a move (its id or the first digits), VOLUME@NODE, or VOLUME')
    .addHelpText(
      'after',
      examples(
        'shoal explain 3fa9c2d01b7e',
        'shoal explain web@eu-1',
        'shoal explain web --json | jq .places',
        'shoal explain move:3fa9'
      )
    )
    .action(async (subject: string, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const query = new URLSearchParams({ subject: checkSubject(subject) })
      const told = await client.get<ExplainDocument>(`/v1/explain?${query}`)
      report(io, json, told, () => (told.kind === 'move' ? moveText(told) : shardText(told)))
    })
}

/** Only its form: the daemon knows what there is. */
function checkSubject(text: string): string {
  const parts = text.replace(/^(volume|move):/, '').split('@')
  const isNamed = parts.every(part => isName(part) || isNodeId(part) || isVolumeId(part))
  if (parts.length <= 2 && isNamed) return text
  throw badOption(
    'subject',
    `${printable(text)} is no move, shard or volume: name one as 3fa9c2d01b7e, web@eu-1 or web`
  )
}
