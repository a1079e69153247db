"""TANGO's test subset: which of AudioCaps' 975 test clips its published list leaves out.

Source: data/test_audiocaps_subset.json of declare-lab/tango at 34ecd38 (886 clips, each with one
caption; ids only are kept here). All 886 are clips of the official test.csv with equal start times.
"""

_IDS = """
    Lh0UmwRgA7s 9HVgYs8OOLc 3iLGu2Omgrw q46VXJ6JN9M 31WGUPOYS5g RNBoH2LHQEM PtW0cZVprJQ EQVWhHmT_cE
    GSHcgY6ATkQ jso1tv-zG-E 2GehEKSOgc8 9XqkKuTqEOM 3IguMJkqpl4 gQMTOKsCIyk rgrmLLhxoCQ YqYCDis3EUA
    XL8JV9qXGLE HUwXtfYRFwk qWYncqPSy9A XIooZl1QdM4 dvY_HUaRgW8 QARuiRtfy-k OmmPaIAXN0s bmEF-c-M174
    OTLtzk0W4zg D9GHUPGWsV0 5eSRL3PRHzo zEM94PH29VQ cr0GiZr0TNY 2ItTq2JShdU awxrHOpt-sE 7-HCqJFwHoI
    A2mcp0N__7U Q3vkJMVMbC8 1oOYqBroWoA PuLuZ_TXv-0 jPayI-MTnag WHRnyGXcdy8 zFzPOsOKog4 qPYwp1K4sZE
    8BPTQO_cx7E 3n05BjV7r7M B-gTt3_rceQ lYhwCRX2wNc NX0gR9Eebp0 3kBlVLkN0zo SNIaYhri76w 1OyEgzXCkYE
    4_Cak7gvly4 hpDltmawxIM 5rh5-MCjqq8 ZNEZLlDVgrE 7WkB6pflr6o lTJLvSvjUZk ITP7tMt1BDg c0IggDOisOo
    0UJtGcoPYa0 eJCaRgf1M20 S_3aeOvniZc vsy1IpYmrSY baThGFuiYys hFCmq9pCBbM 404cD3bVXDc hhSqQN1Ou68
    2bq2lc3DLwM Z7yDwpdGelM nuZEAuAl8hQ mVjub3o_IxE ram-QPKSQYc MOxddxW5PXs Ep72tyiL3as yau2WIRkxb8
    QoEal_hKz4Q NtQiduPRiRg MSziND26UTA i6MQCm58zlY BrPFQDr99Gg cK2kSVR1d2o orgwzt45ojE cN-oYKd-M4E
    XP1L5k-Zxro xnVqvc7N7Po t3VFlDiEKgY -mhFGevxLUg 4bUL_ttiOdw Af4a-9rcnP0 g0l8ArPOTvA ETb9EIQOMAA
    77nElZGi5NU
"""
# YouTube ids, in the order of test.csv.
LEFT_OUT = frozenset(_IDS.split())
