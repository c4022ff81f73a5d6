// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

interface IERC20 {
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// Takes a token in and pays coins out at a fixed rate: what a thief uses to change horses.
/// A trail that enters it ends there, because what comes out is another asset from another pocket.
contract RehearsalSwap {
    IERC20 public immutable token;
    uint256 public immutable weiPerUnit;

    constructor(IERC20 token_, uint256 weiPerUnit_) payable {
        token = token_;
        weiPerUnit = weiPerUnit_;
    }

    function swap(uint256 value) external {
        require(token.transferFrom(msg.sender, address(this), value));
        (bool paid, ) = msg.sender.call{value: value * weiPerUnit}("");
        require(paid);
    }
}
