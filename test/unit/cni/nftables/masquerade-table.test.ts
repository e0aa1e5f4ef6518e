import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { masqueradeTable, REMOVE_TABLE } from '../../../../cni/nftables/masquerade-table.ts';
import { parseCidr } from '../../../../ipam/model/address.ts';

const tableOf = (...ranges: string[]): string => masqueradeTable(ranges.map((each) => parseCidr(each)));

suite('the table of nftables', () => {
  test('takes the place of any former one, and has the ranges of each family', () => {
    assert.equal(
      tableOf('10.30.0.0/24', 'fd00:20::/64', '10.20.0.0/22'),
      `add table inet cellnet
delete table inet cellnet
table inet cellnet {
  set ranges4 {
    type ipv4_addr; flags interval;
    elements = { 10.20.0.0/22, 10.30.0.0/24 }
  }
  set ranges6 {
    type ipv6_addr; flags interval;
    elements = { fd00:20::/64 }
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip daddr @ranges4 masquerade fully-random
    ct status dnat ip6 daddr @ranges6 masquerade fully-random
  }
}
`,
    );
  });

  test('a family without ranges has an empty set, without a list of elements', () => {
    assert.equal(tableOf('10.20.0.0/22').match(/elements/g)?.length, 1);
    assert.doesNotMatch(tableOf(), /elements/);
  });

  test('the order in which etcd has the ranges makes no difference', () => {
    assert.equal(tableOf('10.20.0.0/22', '10.30.0.0/24'), tableOf('10.30.0.0/24', '10.20.0.0/22'));
  });

  test('taking it away needs no table to be there', () => {
    assert.equal(REMOVE_TABLE, 'add table inet cellnet\ndelete table inet cellnet\n');
  });
});
